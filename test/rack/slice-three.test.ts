/** A reservation on three real nodes: each raises the limits by its own clock, at the same instant, and takes them back. */
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { ShownReservation } from '../../orchestrator/operations/slice/reserve.ts';
import type { InstanceUsage } from '../../protocol/link/usage.ts';
import { type Bundle, makeBundle } from '../image/agent/root/services/bundles.ts';
import { deliver } from '../support/deliver.ts';
import { Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';
import { approve } from '../support/rollout.ts';
import { release } from '../support/services.ts';

const NODES = ['first', 'second', 'third'];
const MINUTE = 60_000;
const MIB = 2 ** 20;
const NAME = 'fleet/web@probe';

let rack: Rack;
let bundle: Bundle;
rackFor(
  test,
  'slice-three',
  () =>
    Rack.make(
      'slice-three',
      NODES.map((name) => ({ name, firmware: 'bios' })),
    ),
  async (made) => {
    rack = made;
    await rack.startServer();
    await rack.bootwave('site', 'set', 'default', '--without-tpm', 'keep');
    bundle = await makeBundle(await mkdtemp(join(rack.paths.root, 'services-')));
    for (const node of NODES) {
      await rack.lab.powerOn(node);
      await approve(rack, node);
    }
  },
  { minutes: 60 },
);

/** As each node reads it of its kernel, when it holds on all three. */
async function onAll(holds: (one: InstanceUsage) => boolean): Promise<InstanceUsage[]> {
  const ids = await Promise.all(NODES.map(async (node) => (await rack.record(node)).id));
  let last: unknown = null;
  for (const end = performance.now() + 20 * MINUTE; performance.now() < end; await sleep(2000)) {
    const heard = await Promise.all(
      ids.map(async (id) => (await deliver(rack, id).catch(() => null))?.usage.services ?? []),
    );
    const found = heard.flatMap((services) => services.filter((one) => one.name === NAME && holds(one)));
    if (found.length === NODES.length) return found;
    last = heard;
  }
  throw new Error(JSON.stringify(last));
}

test.serial('it begins on three nodes at its instant, and ends on them', async (t) => {
  t.timeout(60 * MINUTE);
  const script = 'while :; do echo hello > /tmp/index.html; httpd -f -p 8080 -h /tmp; done';
  await release(rack, bundle, 'web:1', script, { limits: { memory: 32 * MIB, cpu: 10, tasks: 16 } });
  const create = 'slice create probe --count 3 --cpu 20 --memory 64 --until 1d';
  await rack.bootwave(...create.split(' '));
  await rack.bootwave('slice', 'run', 'probe', 'web:1');
  const before = await onAll(({ state, runs, share }) => state === 'running' && runs === '1' && !share);
  const reserve = 'slice reserve probe --cpu 25 --memory 48 --from 5m --for 5m --json';
  const { from, until } = JSON.parse((await rack.bootwave(...reserve.split(' '))).stdout) as ShownReservation;

  const during = await onAll(({ share }) => share !== undefined);
  const began = during.map(({ share }) => share!.since - from);
  t.log({ began });
  for (const { share, restarts } of during) {
    t.like(share, { cpu: 35, memory: 80 * MIB });
    t.is(restarts, before[0]!.restarts);
  }
  // Never early, on any of them.
  for (const { share } of during) t.true(share!.since >= from && share!.since < until, `${began}`);
  t.log((await rack.bootwave('slice', 'reservations', 'probe')).stdout);

  const after = await onAll(({ share }) => share !== undefined && share.since >= until);
  t.log({ ended: after.map(({ share }) => share!.since - until) });
  for (const { share } of after) t.like(share, { cpu: 10, memory: 32 * MIB });
});
