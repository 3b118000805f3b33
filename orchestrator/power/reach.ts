/** The way to a node's BMC: how it is reached, one at a time, and only when it is this node's. */
import type { DataPaths } from '../../base/paths.ts';
import type { NodeRecord } from '../fleet/record.ts';
import { type Access, type Bmc, bmcError, type Claim } from './bmc.ts';
import { Book, type Entry } from './book.ts';
import { compare, judge, uuidsIn } from './claim.ts';
import { Lanes } from './lanes.ts';
import { openBmc } from './open.ts';

/** BMCs that one process speaks to at once, and those of one site; each costs a process of `ipmitool` or a connection. */
const AT_ONCE = 96;
const OF_A_SITE = 64;
const lanes = new Lanes(AT_ONCE, OF_A_SITE);

/** Milliseconds for all that is asked of a BMC in its turn: an honest one that takes 4 s for each answer gets through a cycle. */
const HOLD = 120_000;

/** `signal`: of its turn, and no longer than that. */
export type Reached = { bmc: Bmc; entry: Entry; signal: AbortSignal };

/**
 * @throws BootwaveError `BMC_NONE`, `BMC_BOOK`, `BMC_OTHER_NODE`, `BMC_UNKNOWN_NODE`, `BMC_SLOW`, and what a `Bmc` throws
 */
export async function reach<T>(
  paths: Pick<DataPaths, 'power' | 'keys'>,
  record: NodeRecord,
  signal: AbortSignal,
  work: (reached: Reached) => Promise<T>,
): Promise<T> {
  const entry = await new Book(paths).get(record);
  return inLane(entry, record, signal, async (turn) => {
    const bmc = openBmc(entry, entry.claim, turn);
    await mustSayTheSame(bmc, entry, record);
    return work({ bmc, entry, signal: turn });
  });
}

/**
 * @param work ends when its signal aborts
 * @throws BootwaveError `BMC_SLOW`, and what `work` throws
 */
export const inLane = <T>(
  { host, port }: Pick<Access, 'host' | 'port'>,
  { site }: Pick<NodeRecord, 'site'>,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> => lanes.take(`${host} ${port}`, site, () => within(host, signal, work));

async function within<T>(host: string, signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>) {
  signal.throwIfAborted();
  const slow = new AbortController();
  const error = bmcError(
    'BMC_SLOW',
    `the BMC at ${host} was not done with its answers after ${HOLD / 1000} s`,
    'look at it with its own page; a restart of the BMC itself may help',
  );
  const timer = setTimeout(() => slow.abort(error), HOLD);
  try {
    return await work(AbortSignal.any([signal, slow.signal]));
  } finally {
    clearTimeout(timer);
  }
}

/** As the node itself reported it at its enrolment, by SMBIOS. */
export const nodeClaim = ({ inventory: { uuid, serial } }: Pick<NodeRecord, 'inventory'>): Claim => ({
  uuids: uuidsIn(uuid),
  serial,
});

/**
 * Whether a BMC belongs to the machine that the node is, when a person says so.
 * @returns what it says, and whether that is what the node says
 * @throws BootwaveError `BMC_OTHER_NODE`, `BMC_UNKNOWN_NODE`; with `unproven` neither
 */
export async function claimOf(
  bmc: Bmc,
  { host }: Pick<Access, 'host'>,
  record: Pick<NodeRecord, 'name' | 'inventory'>,
  unproven: boolean,
): Promise<{ claim: Entry['claim']; unproven: boolean }> {
  const claim = { uuids: [...(await bmc.uuids())], serial: await bmc.serial() };
  const verdict = judge(nodeClaim(record), claim);
  if (verdict === 'same' || unproven) return { claim, unproven: verdict !== 'same' };
  const { uuid, serial } = record.inventory;
  const both = `${said(claim)}, the node says ${said({ uuids: [uuid], serial })}`;
  if (verdict === 'other')
    throw bmcError(
      'BMC_OTHER_NODE',
      `the BMC at ${host} is not that of ${record.name}: it says ${both}`,
      'is this its address?',
    );
  throw bmcError(
    'BMC_UNKNOWN_NODE',
    `nobody can tell whether the BMC at ${host} is that of ${record.name}: it says ${both}`,
    "look which machine it is; 'bootwave node bmc set --unproven' then believes you",
  );
}

async function mustSayTheSame(bmc: Bmc, { host, claim: before, unproven }: Entry, { name }: NodeRecord) {
  const { verdict, claim } = await compare(bmc, before);
  if (verdict === 'same' || (verdict === 'unknown' && unproven)) return;
  throw bmcError(
    'BMC_OTHER_NODE',
    `what answers at ${host} is not the BMC of ${name} any more: it says ${said(claim)}, and when it was set ${said(before)}`,
    "is its address still right, or was its board changed? 'bootwave node bmc set' looks anew",
  );
}

const said = ({ uuids: [uuid = ''], serial }: Claim) =>
  `${serial ? `serial number ${serial}` : 'no serial number'} and ${uuid === '' ? 'no UUID' : `UUID ${uuid}`}`;
