/**
 * More share for some minutes on a real node: the order is there before, systemd changes the limits at its second without a restart,
 * and takes them back while no server is there.
 */

import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { stopBootServer } from '../../lab/boot-server.ts';
import type { ShownReservation } from '../../orchestrator/operations/slice/reserve.ts';
import type { InstanceUsage } from '../../protocol/link/usage.ts';
import { type Bundle, makeBundle } from '../image/agent/root/services/bundles.ts';
import { deliver } from '../support/deliver.ts';
import { Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';
import { release } from '../support/services.ts';
import { snapshot } from '../support/snapshot.ts';
import { NODE, UPDATED, updatedRack } from '../support/updated.ts';

const MIB = 2 ** 20;
const NAME = 'fleet/web@probe';

let rack: Rack;
let bundle: Bundle;
rackFor(
  test,
  'slice-reserve',
  async () => Rack.restore('slice-reserve', await snapshot(UPDATED, updatedRack)),
  async (made) => {
    rack = made;
    bundle = await makeBundle(await mkdtemp(join(rack.paths.root, 'services-')));
    await rack.heard(NODE);
  },
  { minutes: 60 },
);

/** What the agent reads of the kernel, asked over a link of its own: no server has to be there. */
async function until(holds: (one: InstanceUsage) => boolean): Promise<InstanceUsage> {
  let last: unknown = null;
  const { id } = await rack.record(NODE);
  for (const end = performance.now() + 15 * 60_000; performance.now() < end; await sleep(2000)) {
    const heard = await deliver(rack, id).catch((error: unknown) => error as Error);
    const found = heard instanceof Error ? undefined : heard.usage.services.find(({ name }) => name === NAME);
    if (found !== undefined && holds(found)) return found;
    last = heard instanceof Error ? heard.message : heard.usage.services;
  }
  throw new Error(JSON.stringify(last));
}

test.serial(
  'limits rise at the instant and fall at the end, with no server there and without a restart',
  async (t) => {
    t.timeout(60 * 60_000);
    const script = 'while :; do echo hello > /tmp/index.html; httpd -f -p 8080 -h /tmp; done';
    await release(rack, bundle, 'web:1', script, { limits: { memory: 32 * MIB, cpu: 10, tasks: 16 } });
    await rack.bootwave(
      'slice',
      'create',
      'probe',
      '--count',
      '1',
      '--cpu',
      '20',
      '--memory',
      '64',
      '--until',
      '1d',
    );
    await rack.bootwave('slice', 'run', 'probe', 'web:1');
    const before = await until(({ state, runs }) => state === 'running' && runs === '1');
    t.is(before.share, undefined);

    const words = [
      'slice',
      'reserve',
      'probe',
      '--cpu',
      '25',
      '--memory',
      '48',
      '--from',
      '4m',
      '--for',
      '5m',
      '--json',
    ];
    const { stdout } = await rack.bootwave(...words);
    const { from, until: ends } = JSON.parse(stdout) as ShownReservation;
    const during = await until(({ share }) => share !== undefined);
    t.log({ began: during.share, late: during.share!.since - from });
    t.like(during.share, { cpu: 35, memory: 80 * MIB });
    t.true(during.share!.since >= from && during.share!.since < ends);
    t.is(during.restarts, before.restarts);
    t.true(during.cpu! >= before.cpu!, 'the same cgroup goes on counting');

    await stopBootServer(rack.lab);
    const after = await until(({ share }) => share !== undefined && share.since >= ends);
    t.log({ ended: after.share, late: after.share!.since - ends });
    t.like(after.share, { cpu: 10, memory: 32 * MIB });
    t.is(after.restarts, before.restarts);
    t.true(after.cpu! >= during.cpu!);

    await rack.startServer();
    await rack.heard(NODE, Date.now());
    const shown = await rack.bootwave('slice', 'reservations', 'probe');
    t.regex(shown.stdout, /reservation 1: over/);
  },
);
