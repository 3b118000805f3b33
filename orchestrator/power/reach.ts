/** The way to a node's BMC: how it is reached, one at a time, and only when it is this node's. */
import type { DataPaths } from '../../base/paths.ts';
import type { NodeRecord } from '../fleet/record.ts';
import { type Access, type Bmc, bmcError, type Claim } from './bmc.ts';
import { Book, type Entry } from './book.ts';
import { compare, uuidsIn } from './claim.ts';
import { Lanes } from './lanes.ts';
import { openBmc } from './open.ts';

/** BMCs that one process speaks to at once; each costs a process of `ipmitool` or a connection. */
const AT_ONCE = 32;
const lanes = new Lanes(AT_ONCE);

export type Reached = { bmc: Bmc; entry: Entry };

/**
 * @throws BootwaveError `BMC_NONE`, `BMC_BOOK`, `BMC_OTHER_NODE`, `BMC_UNKNOWN_NODE`, and what a `Bmc` throws
 */
export async function reach<T>(
  paths: Pick<DataPaths, 'power' | 'keys'>,
  record: NodeRecord,
  signal: AbortSignal,
  work: (reached: Reached) => Promise<T>,
): Promise<T> {
  const entry = await new Book(paths).get(record);
  return inLane(entry, async () => {
    const bmc = openBmc(entry, entry.believed ?? nodeClaim(record), signal);
    await mustBelong(bmc, entry, record, entry.believed);
    return work({ bmc, entry });
  });
}

export const inLane = <T>(
  { host, port }: Pick<Access, 'host' | 'port'>,
  work: () => Promise<T>,
): Promise<T> => lanes.take(`${host} ${port}`, work);

/** As the node itself reported it at its enrolment, by SMBIOS. */
export const nodeClaim = ({ inventory: { uuid, serial } }: Pick<NodeRecord, 'inventory'>): Claim => ({
  uuids: uuidsIn(uuid),
  serial,
});

/** @throws BootwaveError `BMC_OTHER_NODE`, `BMC_UNKNOWN_NODE` */
export async function mustBelong(
  bmc: Bmc,
  { host }: Pick<Access, 'host'>,
  record: Pick<NodeRecord, 'name' | 'inventory'>,
  believed: Claim | null,
): Promise<void> {
  const { verdict, claim } = await compare(bmc, nodeClaim(record));
  if (verdict === 'same') return;
  // What a person once believed must still be what it says.
  if (believed !== null && (await compare(bmc, believed)).verdict === 'same') return;
  if (believed !== null && verdict === 'unknown' && saysNothing(believed)) return;
  const says = `it says ${claim.serial === null ? 'no serial number' : `serial number ${claim.serial}`} and ${claim.uuids[0] === undefined ? 'no UUID' : `UUID ${claim.uuids[0]}`}`;
  const { uuid, serial } = record.inventory;
  const node = `the node says ${serial || 'no serial number'} and ${uuid || 'no UUID'}`;
  if (verdict === 'other')
    throw bmcError(
      'BMC_OTHER_NODE',
      `the BMC at ${host} is not that of ${record.name}: ${says}, ${node}`,
      "is its address still right? 'bootwave node bmc set' gives it another",
    );
  throw bmcError(
    'BMC_UNKNOWN_NODE',
    `nobody can tell whether the BMC at ${host} is that of ${record.name}: ${says}, ${node}`,
    "look which machine it is; 'bootwave node bmc set --unproven' then believes you",
  );
}

const saysNothing = ({ uuids, serial }: Claim) => uuids.length === 0 && serial === null;
