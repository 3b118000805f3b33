/** Maintenance windows where rollouts are recorded: which nodes get an order at an instant, summer time included. */
import test from 'ava';
import { readIssued } from '../../../../orchestrator/orders/issued.ts';
import { create, operate } from '../../../../orchestrator/rollout/run/operate.ts';
import { fleetFor } from '../../fleet/support.ts';
import { fleetOf, planOf } from '../fleet.ts';

const IMAGES = Object.fromEntries(
  ['1.0', '2.0'].map((version) => [version, { sha256: 'a'.repeat(64), size: 1 }]),
);

const paris = (from: string, to: string) => [{ zone: 'Europe/Paris', from, to }];

// In Paris 02:00 becomes 03:00 on 2030-03-31, and 03:00 becomes 02:00 on 2030-10-27, both at 01:00 UTC.
const CASES: readonly [what: string, windows: object[], at: string, sites: string[]][] = [
  ['forward: before', paris('01:30', '03:30'), '2030-03-31T00:29:59Z', []],
  ['forward: opens', paris('01:30', '03:30'), '2030-03-31T00:30:00Z', ['s0', 's1']],
  ['forward: an hour shorter', paris('01:30', '03:30'), '2030-03-31T01:29:59Z', ['s0', 's1']],
  ['forward: closes by the wall clock', paris('01:30', '03:30'), '2030-03-31T01:30:00Z', []],
  ['forward: the hour does not exist', paris('02:15', '02:45'), '2030-03-31T01:15:00Z', []],
  ['forward: nor just after', paris('02:15', '02:45'), '2030-03-31T00:59:59Z', []],
  ['forward: on the next day it does', paris('02:15', '02:45'), '2030-04-01T00:15:00Z', ['s0', 's1']],
  ['back: an hour longer', paris('01:30', '03:30'), '2030-10-27T02:29:59Z', ['s0', 's1']],
  ['back: closes by the wall clock', paris('01:30', '03:30'), '2030-10-27T02:30:00Z', []],
  ['back: the first 02:15', paris('02:15', '02:45'), '2030-10-27T00:15:00Z', ['s0', 's1']],
  ['back: the second 02:20 is not it', paris('02:15', '02:45'), '2030-10-27T01:20:00Z', []],
  [
    'each site by its own clock',
    [
      { zone: 'Europe/Paris', from: '01:30', to: '03:30', sites: ['s0'] },
      { zone: 'America/New_York', from: '22:00', to: '23:00', sites: ['s1'] },
    ],
    '2030-03-31T02:30:00Z',
    ['s1'],
  ],
];

for (const [what, windows, time, sites] of CASES) {
  test(`${what}: at ${time} ${sites.length === 0 ? 'nobody' : sites.join(' and ')}`, async (t) => {
    const { redis } = await fleetFor(t);
    const at = Date.parse(time);
    const plan = planOf(fleetOf(4, 2), {
      windows,
      waves: [{}],
      limits: { whole: 4, site: '100%', rack: 9 },
    });
    const id = await create(redis, plan, IMAGES, { author: 'operator:ann', at });
    await operate(redis, id, { type: 'start', by: 'operator:ann' }, () => at);
    const nodes = plan.waves.flatMap(({ places }) => places);
    const ordered = await readIssued(
      redis,
      nodes.map(({ node }) => node),
    );
    const moved = nodes.filter(({ node }) => ordered.has(node)).map(({ site }) => site);
    t.deepEqual([...new Set(moved)].sort(), sites);
  });
}
