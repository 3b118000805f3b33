/** One node moved to a version that is meant to fail, to see that it comes back by itself. */
import { randomBytes } from 'node:crypto';
import { refusal } from '../../../base/error.ts';
import type { Fleet } from '../../fleet/fleet.ts';
import type { NodeRecord } from '../../fleet/record.ts';
import { incidentWhy, rolloutWhy } from '../../recovery/begin.ts';
import { readGuard } from '../../recovery/guard.ts';
import { ROLLBACKS, type Rollback } from '../../recovery/rollbacks.ts';
import type { Acting } from '../operation.ts';
import { start } from '../rollout/start.ts';

type Wanted = { node: string; image?: string | undefined; service?: string | undefined; reason: string };

export type BegunRollback = Pick<Rollback, 'name' | 'rollout'> & { drill: string };

/** One failure is enough, and nothing else is kept from the version by it. */
const STRICT = {
  ...{ waves: [{ take: 'rest' }], budget: { wave: 0, whole: 0 }, attempts: 1, onSpent: 'rollback' },
  ...{ lateJoiners: 'ignore', refusals: 1000 },
};

/** @throws BootwaveError `DRILL_NOT_NOW`, and what `rollout start` throws */
export async function begin(
  { node, image, service, reason }: Wanted,
  acting: Acting,
): Promise<BegunRollback> {
  const { fleet, by } = acting;
  const record = await fleet.nodes.resolve(node);
  const { id, name, site } = record;
  const why = await whyNot(fleet, record, by.at);
  if (why !== null)
    throw refusal('DRILL_NOT_NOW', `no drill with ${name}: ${why}`, 'take another node, or wait');
  const version = image ?? service ?? '';
  const moved = image === undefined ? { services: [version], preview: true } : { image };
  const spec = { ...STRICT, ...moved, name: `drill of ${name}`, nodes: { names: [id] } };
  const { id: rollout } = await start({ spec: JSON.stringify(spec) }, acting);
  const drill = randomBytes(4).toString('hex');
  const value: Rollback = { site, node: id, name, rollout, version, startedAt: by.at };
  await ROLLBACKS.decide(fleet, drill, () => value, { ...by, reason });
  return { drill, name, rollout };
}

async function whyNot(fleet: Fleet, record: NodeRecord, now: number): Promise<string | null> {
  const { id, site, state } = record;
  const guard = await readGuard(fleet, now);
  return (
    incidentWhy(record, fleet) ??
    (state === 'healthy' ? null : `it is ${state}`) ??
    (await rolloutWhy(fleet, await fleet.nodes.ids({ site }), site)) ??
    guard.stopped(id, 'repair')
  );
}
