import type { Action } from '../../orchestrator/power/seen.ts';
import type { BmcTest } from '../../orchestrator/power/self-test.ts';
import { harmless } from '../context.ts';
import { stamp } from '../option.ts';

export type LastAction = Action | null;

/** A record of the declared shape: codes of weaknesses may be newer than this program. */
export type TestShown = Omit<BmcTest, 'weaknesses'> & {
  weaknesses: readonly { code: string; what: string }[];
};

const WORDS: Record<Action['verdict'], string> = {
  waiting: 'nobody knows yet what became of it',
  seen: 'seen',
  unmoved: 'NOT DONE',
  unseen: 'NOT SEEN',
  refused: 'refused',
};

/** What became of the last action. @param now milliseconds since the epoch */
export function seenText(action: LastAction, now: number): string[] {
  if (action === null) return [];
  const { action: what, network, by, at, verdict, why } = action;
  const next = network ? ', next boot from the network' : '';
  const waited = verdict === 'waiting' ? ` (for ${Math.round((now - at) / 1000)} s)` : '';
  const line = `last action: ${what}${next}, by ${by}, ${stamp(at)}: ${WORDS[verdict]}${waited}`;
  return [harmless(why === '' ? line : `${line}: ${why}`)];
}

export function testText(test: TestShown | null): string[] {
  if (test === null) return ['its BMC was not tested yet'];
  const { at, ok, power, took, code, what, weaknesses } = test;
  const first = ok
    ? `its BMC answered at ${stamp(at)} in ${took} ms: power ${power}`
    : `its BMC FAILED at ${stamp(at)}: ${what} [${code}]`;
  return [first, ...weaknesses.map((one) => `WARNING: ${one.what} [${one.code}]`)].map(harmless);
}
