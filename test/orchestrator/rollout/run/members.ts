/** Members of a fleet and rollouts on record, without any machine behind them. */
import type { ExecutionContext } from 'ava';
import { makePlan } from '../../../../orchestrator/rollout/plan.ts';
import { planNodes } from '../../../../orchestrator/rollout/run/facts.ts';
import { create, operate } from '../../../../orchestrator/rollout/run/operate.ts';
import { checkSpec } from '../../../../orchestrator/rollout/spec.ts';
import { beatOfBoot, certificateFor, enrolment, fleetFor } from '../../fleet/support.ts';
import { FACTS, IMAGES, VERSIONS } from './support.ts';

export async function membersFor(t: ExecutionContext) {
  const bed = await fleetFor(t);
  const { fleet, redis, directory, by } = bed;
  /** Machine `n` in this boot, with its heartbeat unless `healthy` is null. @returns its id */
  const beat = async (n: number, healthy: boolean | null, version = '1.0', boot = 1): Promise<string> => {
    const one = enrolment(n, boot, { running: { version, kernel: '6.1.0', bootId: `boot-${n}-${boot}` } });
    await directory.enrol(one);
    if ((await fleet.nodes.get(one.id))?.state === 'pending') await fleet.approve(one.id, one.words, by());
    const certificate = certificateFor(one);
    await directory.recordCertificate(one.id, certificate);
    if (healthy !== null) {
      await directory.heartbeat(one.id, certificate.serial, beatOfBoot(one, { healthy, reason: 'ill' }));
    }
    return one.id;
  };
  /** Machine `n`, approved; up when it is healthy or not. */
  const member = (n: number, version = '1.0', healthy: boolean | null = true) => beat(n, healthy, version);
  /** Plans, records and starts. @returns its id */
  const start = async (spec: object): Promise<string> => {
    const checked = checkSpec({ image: '2.0', nodes: { all: true }, waves: [{}], ...spec });
    if (!checked.ok) throw new Error(JSON.stringify(checked.refusals));
    const planned = makePlan(await planNodes(fleet, VERSIONS), checked.spec, Date.now(), FACTS);
    if (!planned.ok) throw new Error(JSON.stringify(planned.refusals));
    const id = await create(redis, planned.plan, IMAGES, { author: 'operator:ann', at: 1 });
    await operate(redis, id, { type: 'start', by: 'operator:ann' });
    return id;
  };
  const stateOf = async (id: string) => (await fleet.nodes.get(id))?.state;
  return { ...bed, beat, member, start, stateOf };
}
