import { BootwaveError } from '../../base/error.ts';
import type { By } from './acting.ts';
import { type NodeChange, setNode } from './events/set.ts';
import type { Fleet } from './fleet.ts';
import { unknownNode } from './names.ts';
import type { NodeRecord } from './record.ts';

export type SetNode = { record: NodeRecord; changed: boolean };
/** `refused`: those that stayed as they are, and why. */
export type SetNodes = {
  changed: string[];
  same: string[];
  refused: { name: string; code: string; what: string }[];
};

/** Nodes changed at the same time. */
const AT_ONCE = 20;

/**
 * What a person wants of a node or states about it, by compare-and-set and in the audit stream; a refusal is recorded
 * too.
 * @throws BootwaveError `NODE_BIOS`, `NODE_WIPE_MODE`, `NODE_INSTALLED`, `NODE_LABELS`, `NODE_NOT_MEMBER`,
 * `NODE_UNKNOWN`, `SITE_UNKNOWN`
 */
export async function set(fleet: Fleet, id: string, change: NodeChange, by: By): Promise<SetNode> {
  if (change.site !== undefined) await fleet.sites.get(change.site);
  const done = await fleet.nodes.update(id, (record) => {
    if (record === null) throw unknownNode(id);
    return { outcome: setNode(record, { ...by, change }) };
  });
  if (done.kind === 'changed') return { record: done.record, changed: true };
  if (done.kind === 'same' && done.record !== null) return { record: done.record, changed: false };
  if (done.kind !== 'refused') throw unknownNode(id);
  const { code, what, next } = done;
  await fleet.audit.append({ ...by, node: id, action: 'refused', reason: `set: ${code}: ${what}` });
  throw new BootwaveError({ code, what, unchanged: 'the node', next });
}

/** The same for many nodes; a refusal for one does not stop the others. @param how the change for each of them */
export async function setMany(
  fleet: Fleet,
  nodes: readonly NodeRecord[],
  change: NodeChange,
  by: By,
  how: typeof set = set,
): Promise<SetNodes> {
  const result: SetNodes = { changed: [], same: [], refused: [] };
  const one = async ({ id, name }: NodeRecord) => {
    try {
      const { changed } = await how(fleet, id, change, by);
      result[changed ? 'changed' : 'same'].push(name);
    } catch (error) {
      if (!(error instanceof BootwaveError)) throw error;
      result.refused.push({ name, code: error.code, what: error.what });
    }
  };
  for (let i = 0; i < nodes.length; i += AT_ONCE) await Promise.all(nodes.slice(i, i + AT_ONCE).map(one));
  return result;
}
