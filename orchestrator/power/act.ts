/** One power action by a BMC, and what the BMC says became of it. Whether the machine did it, `seen.ts` finds out. */
import { setTimeout as sleep } from 'node:timers/promises';
import { BootwaveError, messageOf, whatOf } from '../../base/error.ts';
import { type Bmc, bmcError, type Power, type PowerAction } from './bmc.ts';

export type Wanted = { action: PowerAction; network: boolean; firmware: 'uefi' | 'bios' };

/** Milliseconds. */
export type ActTimes = {
  /** Between two looks at the power. */
  look: number;
  /** Until a BMC that cycles by itself has the power on again; then it is told to. Usual are 1 to 5 s off. */
  cycle: number;
  /** Until the power is as it should be. */
  reach: number;
};
const ACT_TIMES: ActTimes = { look: 500, cycle: 6_000, reach: 20_000 };

export type Acted = {
  before: Power;
  after: Power;
  /** What it was told: a machine that is off is switched on for a cycle. Null: it was so already. */
  did: PowerAction | null;
};

export type Hooks = {
  /** Is told before the BMC is; nothing is done where it fails. */
  begin(before: Power): Promise<void>;
  /** The BMC said yes: whatever fails from now on, the machine may have done it. */
  yes?(): void;
};

/**
 * @throws BootwaveError `POWER_OFF`, `BMC_LIES`, and what a `Bmc` throws
 */
export async function act(
  bmc: Bmc,
  { action, network, firmware }: Wanted,
  { begin, yes = () => {} }: Hooks,
  signal: AbortSignal,
  times: ActTimes = ACT_TIMES,
): Promise<Acted> {
  const before = await bmc.power();
  if (action === 'reset' && before === 'off')
    throw bmcError('POWER_OFF', 'it is off, and there is nothing to reset', 'use on or cycle');
  const did = before === 'off' && action === 'cycle' ? 'on' : action;
  // Nothing is left behind for a start that somebody else causes some day.
  if (did === before) return { before, after: before, did: null };
  await begin(before);
  let next = network;
  try {
    if (network)
      await bmc.nextFromNetwork(firmware).catch((error: { code?: string }) => {
        // It has no such thing, and was told nothing.
        if (error.code === 'BMC_LACKS') next = false;
        throw error;
      });
    return { before, after: await done(bmc, did, yes, signal, times), did };
  } catch (error) {
    throw next ? await takenBack(bmc, error) : error;
  }
}

/** What starts the machine some day must not find the next boot of an action that failed: Redfish keeps it for ever. */
async function takenBack(bmc: Bmc, error: unknown): Promise<unknown> {
  const said = await bmc.nextAsUsual().then(
    () => 'its next boot is as usual again',
    (why) => `its next boot may be from the network still, because it was not taken back (${whatOf(why)})`,
  );
  if (!(error instanceof BootwaveError)) return new Error(`${messageOf(error)}; ${said}`, { cause: error });
  const { code, unchanged, next } = error;
  return new BootwaveError({ code, what: `${error.what}; ${said}`, unchanged, next, cause: error });
}

/** @returns the power as it was wanted */
async function done(
  bmc: Bmc,
  did: PowerAction,
  yes: () => void,
  signal: AbortSignal,
  times: ActTimes,
): Promise<Power> {
  await tell(bmc, did, yes, signal, times);
  const wanted = did === 'off' ? 'off' : 'on';
  const after = await untilPower(bmc, wanted, signal, times.look, times.reach);
  if (after === wanted) return after;
  throw bmcError(
    'BMC_LIES',
    `the BMC said yes to '${did}', and ${times.reach / 1000} s later the power is ${after}`,
    'try again; if it stays so, somebody has to go there',
  );
}

async function tell(
  bmc: Bmc,
  did: PowerAction,
  yes: () => void,
  signal: AbortSignal,
  times: ActTimes,
): Promise<void> {
  if (did !== 'cycle') return bmc.act(did).then(yes);
  const knows = await bmc.act('cycle').then(
    () => true,
    (error: { code?: string }) => (error.code === 'BMC_LACKS' ? false : Promise.reject(error)),
  );
  if (!knows) {
    await bmc.act('off').then(yes);
    await untilPower(bmc, 'off', signal, times.look, times.reach);
    return bmc.act('on');
  }
  yes();
  // Some stop half way: off, and never on again.
  await pause(times.look, signal);
  if ((await untilPower(bmc, 'on', signal, times.look, times.cycle)) === 'off') await bmc.act('on');
}

/** @returns what it is when it is as wanted, or at the end */
async function untilPower(
  bmc: Bmc,
  wanted: Power,
  signal: AbortSignal,
  look: number,
  patience: number,
): Promise<Power> {
  const end = performance.now() + patience;
  for (;;) {
    const power = await bmc.power();
    if (power === wanted || performance.now() >= end) return power;
    await pause(look, signal);
  }
}

/** Throws why the signal aborted, and not that it did. */
const pause = (time: number, signal: AbortSignal): Promise<void> =>
  sleep(time, undefined, { signal }).catch(() => signal.throwIfAborted());
