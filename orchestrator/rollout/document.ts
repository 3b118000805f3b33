/** A document of several rollouts that go one after the other: a spec, with `then`. Pure. */
import { checkSpec, type Refusal, readText, type Spec } from './spec.ts';

/** One of them; `source` is a spec of its own, as JSON. That of the first is the whole document. */
export type Part = { spec: Spec; source: string };

export type Document = { ok: true; parts: [Part, ...Part[]] } | { ok: false; refusals: Refusal[] };

type Written = Record<string, unknown>;

/** Parts after the first. */
const MOST = 10;

/**
 * A later part has what it does not say itself from the first: who, waves, limits and all else except for what is moved.
 * Never throws.
 */
export function parseDocument(text: string): Document {
  const read = readText(text);
  if (!read.ok) return read;
  if (!isObject(read.value) || !('then' in read.value)) {
    const checked = checkSpec(read.value);
    return checked.ok ? { ok: true, parts: [{ spec: checked.spec, source: text }] } : checked;
  }
  const { then, ...first } = read.value;
  const checked = checkSpec(first);
  const isList = Array.isArray(then) && then.length > 0 && then.length <= MOST && then.every(isObject);
  const refusals = checked.ok ? [] : checked.refusals;
  if (!isList) refusals.push({ field: 'then', reason: `must be a list of 1 to ${MOST} specs` });
  // What is wrong with the first part would be said again for each of the others.
  if (!checked.ok || !isList) return { ok: false, refusals };
  const parts: [Part, ...Part[]] = [{ spec: checked.spec, source: text }];
  for (const [index, own] of then.entries()) {
    const { image: _, config: __, services: ___, ...inherited } = first;
    const whole = { ...inherited, ...own };
    const part = checkSpec(whole);
    const at = (field: string) => (field === WHOLE ? `then[${index}]` : `then[${index}].${field}`);
    const found = [...(part.ok ? [] : part.refusals), ...refuseInherited(own, parts)];
    refusals.push(...found.map(({ field, reason }) => ({ field: at(field), reason })));
    if (part.ok) parts.push({ spec: part.spec, source: JSON.stringify(whole) });
  }
  return refusals.length > 0 ? { ok: false, refusals } : { ok: true, parts };
}

const WHOLE = '(whole spec)';

const isObject = (value: unknown): value is Written =>
  value !== null && typeof value === 'object' && !Array.isArray(value);

function refuseInherited(own: Written, [first, ...later]: readonly [Part, ...Part[]]): Refusal[] {
  const refusals: Refusal[] = [];
  if ('approvals' in own) {
    const reason = 'cannot stand here: who approves the document approves all of it';
    refusals.push({ field: 'approvals', reason });
  }
  if (![first, ...later].some(({ spec }) => spec.image !== undefined)) return refusals;
  const reason = 'is taken over, and chooses by the image that a part before this one changes: say it here';
  const { nodes, waves } = first.spec;
  if (!('nodes' in own) && nodes.running !== undefined) refusals.push({ field: 'nodes', reason });
  if (!('waves' in own) && waves.some(({ select }) => select?.running !== undefined))
    refusals.push({ field: 'waves', reason });
  return refusals;
}
