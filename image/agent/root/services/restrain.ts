/**
 * Freezes, throttles or lets go of instances, as the order in force says. An instance that does not run is not begun while it
 * is frozen (plan.ts); one that runs stops where it stands: the kernel runs none of its programs, and the node drops
 * what is on its way to it and from it.
 */
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { writeFileAtomic } from '../../../../base/files.ts';
import { instanceId } from '../../../../protocol/agent/units.ts';
import type { Order, Restraint } from '../../../../protocol/order.ts';
import { freezerText, runsOn, untilSo } from './freezer.ts';
import { type InstanceRecord, instanceFolder, noteRestraint } from './instance.ts';
import { connectionRules } from './net.ts';
import { placeOf } from './place.ts';
import type { StepPlaces } from './steps.ts';
import { checkUnit, netUnit } from './units.ts';

export const restraintOf = ({ restraints }: Pick<Order, 'restraints'>, name: string): Restraint | null =>
  restraints?.find((one) => one.name === name) ?? null;

type Places = Pick<StepPlaces, 'run' | 'cgroups' | 'systemctl'>;

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
    if (await isSo(record, wanted, places)) continue;
    const why = await change(record, wanted, places).catch((error: unknown) => `${error}`);
    if (why !== null) failed.set(record.name, why);
  }
  return failed;
}

async function isSo(record: InstanceRecord, wanted: Restraint | null, places: Places): Promise<boolean> {
  if (record.unsure === true || !isDeepStrictEqual(record.restraint ?? null, wanted)) return false;
  // What the kernel has killed systemd has started again.
  return !isFreeze(wanted) || (await runsOn(record.name, places)) !== true;
}

/** Whether nothing of it may be begun, by whomever: it is frozen, or nobody knows. */
export const isHeld = ({ restraint, unsure }: Pick<InstanceRecord, 'restraint' | 'unsure'>): boolean =>
  unsure === true || isFreeze(restraint ?? null);

const isFreeze = (restraint: Restraint | null): boolean => restraint?.how === 'freeze';

/** Its programs go on, so that they can end themselves; nothing of it reaches the network yet. */
export async function thaw(
  { name, restraint, unsure }: Pick<InstanceRecord, 'name' | 'restraint' | 'unsure'>,
  places: Places,
): Promise<void> {
  if (!isHeld({ restraint, unsure })) return;
  await writeFileAtomic(
    join(instanceFolder(places, name), 'freezer.conf'),
    freezerText(name, false, places),
    0o644,
  );
  await places.systemctl('reload', netUnit(instanceId(name)));
}

/** @returns why not; null: it is so */
async function change(
  record: InstanceRecord,
  wanted: Restraint | null,
  places: Places,
): Promise<string | null> {
  const { name, slot } = record;
  const folder = instanceFolder(places, name);
  // What fails in the middle has done some of it: whatever is wanted next is not so yet.
  await noteRestraint(record, 'unsure', places);
  const isFrozen = isFreeze(wanted);
  for (const [file, text] of [
    ['connections.nft', connectionRules(placeOf(slot), wanted)],
    ['freezer.conf', freezerText(name, isFrozen, places)],
  ] as const)
    await writeFileAtomic(join(folder, file), text, 0o644);
  const unit = netUnit(instanceId(name));
  const { code, stderr } = await places.systemctl('reload', unit);
  if (code !== 0) return `reload ${unit}: ${stderr.trim()}`;
  // It runs inside, but in a cgroup of its own, which is not frozen.
  if (isFrozen && record.health?.check.kind === 'exec')
    await places.systemctl('stop', checkUnit(instanceId(name)));
  if (!(await untilSo(name, isFrozen, places)))
    return isFrozen ? 'some of its programs do not stop; its network is cut' : 'its programs do not go on';
  await noteRestraint(record, wanted, places);
  return null;
}
