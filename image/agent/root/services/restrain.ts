/**
 * Freezes, throttles or lets go of instances, as the order in force says. An instance that does not run is not begun while it
 * is frozen (plan.ts); one that runs stops where it stands: the kernel runs none of its programs, and the node drops
 * what is on its way to it and from it.
 */
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { writeFileAtomic } from '../../../../base/files.ts';
import { instanceId, instanceUnit } from '../../../../protocol/agent/units.ts';
import type { Order, Restraint } from '../../../../protocol/order.ts';
import { type InstanceRecord, instanceFolder, noteRestraint } from './instance.ts';
import { connectionRules } from './net.ts';
import { placeOf } from './place.ts';
import type { StepPlaces } from './steps.ts';
import { netUnit } from './units.ts';

export const restraintOf = ({ restraints }: Pick<Order, 'restraints'>, name: string): Restraint | null =>
  restraints?.find((one) => one.name === name) ?? null;

/** Also one that may be. Systemd thaws what is not frozen without complaint. */
export const isFrozen = ({ restraint, unsure }: Pick<InstanceRecord, 'restraint' | 'unsure'>): boolean =>
  unsure === true || restraint?.how === 'freeze';

type Places = Pick<StepPlaces, 'run' | 'systemctl'>;

/**
 * One that fails does not keep the others from it; it is tried again at the next look.
 * @returns by name what went wrong
 */
export async function restrain(
  records: readonly InstanceRecord[],
  order: Pick<Order, 'restraints'>,
  places: Places,
): Promise<Map<string, string>> {
  const failed = new Map<string, string>();
  for (const record of records) {
    const wanted = restraintOf(order, record.name);
    if (record.unsure !== true && isDeepStrictEqual(record.restraint ?? null, wanted)) continue;
    const why = await change(record, wanted, places).catch((error: unknown) => `${error}`);
    if (why !== null) failed.set(record.name, why);
  }
  return failed;
}

/** @returns why not; null: it is so */
async function change(
  record: InstanceRecord,
  wanted: Restraint | null,
  places: Places,
): Promise<string | null> {
  const { name, slot } = record;
  const id = instanceId(name);
  // What fails in the middle has done some of it: whatever is wanted next is not so yet.
  await noteRestraint(record, 'unsure', places);
  await writeFileAtomic(
    join(instanceFolder(places, name), 'connections.nft'),
    connectionRules(placeOf(slot), wanted),
    0o644,
  );
  const steps = [
    // The network first: it is what does harm.
    ['reload', netUnit(id)],
    ...(wanted?.how === 'freeze' ? [['freeze', instanceUnit(id)]] : []),
    ...(isFrozen(record) && wanted?.how !== 'freeze' ? [['thaw', instanceUnit(id)]] : []),
  ];
  for (const step of steps) {
    const { code, stderr } = await places.systemctl(...step);
    if (code !== 0) return `${step.join(' ')}: ${stderr.trim()}`;
  }
  await noteRestraint(record, wanted, places);
  return null;
}
