import test from 'ava';
import fc from 'fast-check';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import type { TpmClocks } from '../../../orchestrator/fleet/tpm-clock.ts';
import type { TpmClock } from '../../../protocol/enrolment/enrolment.ts';
import { fleetFor } from './support.ts';

/** Moments in which a machine got its nonce, in which its TPM quoted, and in which the proof arrived. */
const proofs = fc.array(
  fc.tuple(fc.nat(50), fc.nat(50), fc.nat(50)).map((moments) => moments.sort((a, b) => a - b)),
  { minLength: 2, maxLength: 8 },
);
/** Moments in which the machine was reset. */
const resets = fc.array(fc.nat(50), { maxLength: 3 });

/** @returns what became of the proofs of one TPM, in the order in which they arrived */
async function live(clocks: TpmClocks, ak: string, all: number[][], resetAt: number[]): Promise<string[]> {
  const numbers: number[] = [];
  const quotes: TpmClock[] = [];
  const became: string[] = [];
  let clock: TpmClock = { milliseconds: 0, resets: 0, restarts: 0, safe: true };
  for (let moment = 0; moment <= 50; moment += 1) {
    clock = resetAt.includes(moment)
      ? { ...clock, resets: clock.resets + 1, milliseconds: 0 }
      : { ...clock, milliseconds: clock.milliseconds + 1 };
    for (const [i, [asked, quoted, arrived]] of all.entries()) {
      if (asked === moment) numbers[i] = await clocks.number();
      if (quoted === moment) quotes[i] = clock;
      if (arrived === moment) became.push((await clocks.advance(ak, quotes[i]!, numbers[i]!, null)).kind);
    }
  }
  return became;
}

test('one TPM is never taken for two, in whatever order its proofs arrive', async (t) => {
  const { clocks } = (await fleetFor(t)).fleet;
  let run = 0;
  await fc.assert(
    fc.asyncProperty(proofs, resets, async (all, resetAt) => {
      run += 1;
      return !(await live(clocks, `ak-${run}`, all, resetAt)).includes('back');
    }),
    { numRuns: 300 },
  );
  const held = [
    [0, 1, 9],
    [2, 3, 4],
  ];
  t.deepEqual(await live(clocks, 'held up', held, []), ['newest', 'late']);
});

test('two of one TPM are found as soon as one asks after the other was heard', async (t) => {
  const { clocks } = (await fleetFor(t)).fleet;
  const at = (milliseconds: number): TpmClock => ({ milliseconds, resets: 3, restarts: 0, safe: true });
  const copy = await clocks.number();
  t.deepEqual(await clocks.advance('ak', at(500), await clocks.number(), null), { kind: 'newest' });
  t.deepEqual(
    await clocks.advance('ak', at(400), copy, null),
    { kind: 'late' },
    'hides as a late one, in vain',
  );
  t.like(await clocks.advance('ak', at(450), await clocks.number(), null), {
    kind: 'back',
    what: 'clock 450 ms after 500 ms',
  });
  t.deepEqual(await clocks.advance('ak', at(501), copy, null), { kind: 'newest' }, 'more than was known');
});

test('counters of before nonces had numbers are read, and those on record where none are kept', async (t) => {
  const { fleet, redis } = await fleetFor(t);
  const { clocks } = fleet;
  const at = (milliseconds: number): TpmClock => ({ milliseconds, resets: 3, restarts: 0, safe: true });
  await redis.hset(KEYS.clocks, 'old', '3 0 500');
  t.like(await clocks.advance('old', at(499), await clocks.number(), null), { kind: 'back' });
  t.like(await clocks.advance('old', at(501), await clocks.number(), null), { kind: 'newest' });
  t.like(await clocks.advance('new', at(499), await clocks.number(), at(500)), { kind: 'back' });
  t.like(await clocks.advance('new', at(501), await clocks.number(), at(500)), { kind: 'newest' });
});
