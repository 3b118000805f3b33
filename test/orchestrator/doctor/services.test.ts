import test from 'ava';
import { checkServices } from '../../../orchestrator/doctor/services.ts';
import { retireDue } from '../../../orchestrator/rollout/run/retire.ts';
import { decideLife } from '../../../orchestrator/services/lives.ts';
import { silent } from '../fleet/support.ts';
import { servicesFor } from '../services/world.ts';

const DAY = 24 * 3600_000;
const NOW = 1_800_000_000_000;
const BY = { actor: 'operator:ann', at: NOW };

test('versions that end soon and cannot be left, or have ended and are not left; of all others nothing is said', async (t) => {
  const { fleet, redis, paths, member, release } = await servicesFor(t);
  const check = async () => {
    const { status, detail } = await checkServices(paths, NOW);
    return `${status} ${detail}`;
  };
  await release('chrony:4.4');
  await member(1, ['chrony:4.3']);
  t.regex(await check(), /^ok no version ends/);
  const retire = (on: number, successor = 'fleet/chrony:4.4') =>
    decideLife(
      fleet,
      'fleet/chrony:4.3',
      { state: 'deprecated', successor, on, template: null, reason: '' },
      BY,
    );
  await retire(NOW + 15 * DAY, 'fleet/chrony:9');
  t.regex(await check(), /^ok no version ends/);
  await retire(NOW + 13 * DAY, 'fleet/chrony:9');
  t.regex(await check(), /^warn .*fleet\/chrony:4\.3 \(1 nodes\): .*chrony:9 is not released/);
  await retire(NOW - 1, 'fleet/chrony:9');
  await retireDue({ redis, fleet, paths, log: silent, now: () => NOW });
  t.regex(await check(), /^warn .*chrony:9 is not released, or was withdrawn/);
  await retire(NOW - 1);
  await retireDue({ redis, fleet, paths, log: silent, now: () => NOW });
  t.regex(await check(), /^ok nodes of every version/, 'its rollout is under way');
});
