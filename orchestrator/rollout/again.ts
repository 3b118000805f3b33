/** The spec of a rollout that has ended, for its nodes that did not get there, or for the way back. */
import type { NodeStep } from './node-step.ts';
import type { RolloutSetup } from './record.ts';
import { shownVersion, textRead, written } from './services.ts';
import { USUAL_WAVES } from './spec.ts';

export type Again = 'same' | 'retry' | 'undo';
export type AgainRefusal = { code: string; what: string; next: string };
type Source = Record<string, unknown>;

/**
 * @param source the text that it was started with
 * @param from for `undo`: the version to go back to; undefined: the only one that they had
 */
export function specAgain(
  source: string,
  { target }: Pick<RolloutSetup, 'target'>,
  steps: readonly NodeStep[],
  again: Again,
  from?: string,
): { spec: Source } | { refusal: AgainRefusal } {
  const spec = JSON.parse(source) as Source;
  if (again === 'same') return { spec };
  // What it was told about times is over, and what came after it is another rollout.
  const { notBefore: _, notAfter: __, then: _then, ...rest } = spec;
  const name = `${typeof rest.name === 'string' ? rest.name : 'rollout'} (${again})`.slice(-128);
  if (again === 'retry') {
    const left = steps.filter(({ state, left, taken }) => state !== 'done' && !left && !taken);
    if (left.length === 0) return nothing('every node is on the version that it brought');
    const { waves, ...without } = rest;
    return { spec: { ...without, ...wavesAgain(waves), name, nodes: { names: namesOf(left) } } };
  }
  const changed = steps.filter(
    (step) => step.state === 'done' && !step.taken && !step.left && step.touch > 0,
  );
  const before = Map.groupBy(changed, (step) => step.from);
  before.delete(null);
  const versions = [...before.keys()].filter((version) => version !== null).sort();
  const asked = from !== undefined && target.of === 'service' ? textRead(from) : from;
  const to = asked ?? (versions.length === 1 ? versions[0] : undefined);
  const back = before.get(to ?? null);
  if (versions.length === 0) return nothing('it has changed no node that could go back');
  if (to === undefined || back === undefined)
    return {
      refusal: {
        code: 'ROLLOUT_UNDO_WHERE',
        what: `before it, its nodes had ${versions.map((version) => `${shownVersion(version)} (${before.get(version)?.length})`).join(', ')}`,
        next: 'one rollout brings one version: give --from VERSION, once for each',
      },
    };
  const { image: ___, config: ____, services: _____, ...others } = rest;
  const what = target.of === 'service' ? { services: written(to) } : { [target.of]: to };
  return {
    spec: { ...others, ...what, name, downgrade: true, nodes: { names: namesOf(back) } },
  };
}

/**
 * Waves that select would have none of their nodes left, and the next one would be the canary: then it has the usual ones,
 * with the pace and the windows of its last wave, in which most nodes were.
 */
function wavesAgain(waves: unknown): { waves?: unknown[] } {
  if (!Array.isArray(waves)) return {};
  if (!waves.some(selects)) return { waves };
  const { limits, windows } = waves.at(-1) as Source;
  if (limits === undefined && windows === undefined) return {};
  const own = { ...(limits === undefined ? {} : { limits }), ...(windows === undefined ? {} : { windows }) };
  return { waves: USUAL_WAVES.map((wave) => ({ ...wave, ...own })) };
}

const selects = (wave: unknown): boolean => wave !== null && typeof wave === 'object' && 'select' in wave;

const namesOf = (steps: readonly NodeStep[]): string[] => steps.map(({ name }) => name).sort();

const nothing = (what: string) => ({
  refusal: { code: 'ROLLOUT_NOTHING_LEFT', what, next: `'bootwave rollout show' has each of its nodes` },
});
