/** The state of each issuing CA: a pure function of what is on disk and of the steps in the log. */
import type { Generation } from '../../keys/generations.ts';
import type { AuthorityName } from '../../keys/layout.ts';
import type { AuthorityEntry } from '../fleet/decisions/entry.ts';

/** `prepared` and `old` are trusted and sign nothing; holders of a `tainted` one's certificates renew at once. */
const AUTHORITY_STATES = ['prepared', 'active', 'old', 'tainted', 'revoked'] as const;
export type AuthorityState = (typeof AUTHORITY_STATES)[number];

export type States = {
  states: ReadonlyMap<string, AuthorityState>;
  /** Signs; null: no CA is left that may sign. */
  active: string | null;
  /** The steps name them but no file contains them, as after a restored backup of the keys. */
  missing: readonly string[];
};

/**
 * Taints and revocations are for good, whatever comes later; the last activated CA that is neither tainted nor
 * revoked signs. If its file is lost, the newest CA before it signs: a fleet continues with what it has, but never with
 * a revoked CA.
 * @param generations oldest first
 * @param steps in the order in which they were taken, of all CAs
 */
export function authorityStates(
  ca: AuthorityName,
  generations: readonly Pick<Generation, 'id'>[],
  steps: readonly Pick<AuthorityEntry, 'ca' | 'step' | 'authority'>[],
): States {
  const own = steps.filter((one) => one.ca === ca);
  const those = (step: AuthorityEntry['step']) =>
    own.filter((one) => one.step === step).map(({ authority }) => authority);
  const [revoked, tainted] = [new Set(those('revoke')), new Set(those('taint'))];
  const first = generations.slice(0, 1).map(({ id }) => id);
  const turns = [...first, ...those('activate')];
  const here = new Set(generations.map(({ id }) => id));
  const active = turns.findLast((id) => here.has(id) && !revoked.has(id) && !tainted.has(id)) ?? null;
  const stateOf = (id: string): AuthorityState => {
    if (revoked.has(id)) return 'revoked';
    if (tainted.has(id)) return 'tainted';
    if (id === active) return 'active';
    return turns.includes(id) ? 'old' : 'prepared';
  };
  return {
    states: new Map(generations.map(({ id }) => [id, stateOf(id)])),
    active,
    missing: [...new Set(own.map(({ authority }) => authority))].filter((id) => !here.has(id)),
  };
}
