/**
 * Services on a real node: image, kernel with verity and limits, systemd, a signed order. A node without a disk, so that one
 * boot is all that it takes; what a disk adds is the quota of a state.
 */
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { Who } from '../../orchestrator/operations/flows/acts.ts';
import type { Written } from '../../orchestrator/operations/log/gather.ts';
import type { ServiceStatus } from '../../protocol/link/messages.ts';
import type { OrderedService, Restraint } from '../../protocol/order.ts';
import { type Bundle, makeBundle } from '../image/agent/root/services/bundles.ts';
import { deliver, orderServices } from '../support/deliver.ts';
import { BOOT, type Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';
import { approve } from '../support/rollout.ts';
import { fetched, release } from '../support/services.ts';

const NODE = 'service';

let rack: Rack;
let bundle: Bundle;
let epoch = 10;
rackFor(
  test,
  'service',
  [{ name: NODE, firmware: 'bios' }],
  async (made) => {
    rack = made;
    await rack.startServer();
    await rack.bootwave('site', 'set', 'default', '--without-tpm', 'keep');
    await rack.lab.powerOn(NODE);
    bundle = await makeBundle(await mkdtemp(join(rack.paths.root, 'service-')));
    await approve(rack, NODE);
  },
  { minutes: 60 },
);

const asked = async () => deliver(rack, (await rack.record(NODE)).id);

async function order(services: readonly OrderedService[]): Promise<void> {
  epoch += 1;
  await orderServices(rack, (await rack.record(NODE)).id, epoch, services);
}

const publish = (name: string, version: string, script: string, more: object = {}) =>
  release(rack, bundle, `${name}:${version}`, script, more);

async function until(
  holds: (services: Map<string, ServiceStatus>) => boolean,
): Promise<Map<string, ServiceStatus>> {
  for (const end = performance.now() + BOOT; ; await sleep(1000)) {
    const { services = [] } = (await asked()).status;
    const found = new Map(services.map((one) => [one.name, one]));
    if (holds(found)) return found;
    if (performance.now() > end) throw new Error(JSON.stringify(services));
  }
}
/** As it was ordered first. */
let web: OrderedService;
const answer = () => fetched(rack, NODE, 8080);

const WEB = 'echo up; while :; do echo hello > /tmp/index.html; httpd -f -p 8080 -h /tmp; done';

test.serial('from a published bundle and a signed order to a healthy instance that answers', async (t) => {
  t.timeout(60 * 60_000);
  web = await publish('fleet/web', '1', WEB, {
    ports: [{ name: 'http', port: 8080 }],
    health: { check: { kind: 'http', port: 8080, path: '/' }, every: 5 },
    state: { path: '/state', bytes: 2 ** 20 },
  });
  await order([web]);
  const services = await until((found) => found.get('fleet/web')?.health === 'healthy');
  t.is(services.get('fleet/web')?.state, 'running');
  t.is(await answer(), 'hello\n');
  const { observed } = await rack.record(NODE);
  t.log(observed.image);
});

test.serial('the agent, which is not root, reads what the node and the instance use', async (t) => {
  const { usage: before } = await asked();
  t.is(await answer(), 'hello\n');
  const { usage: after } = await asked();
  t.log(after);
  const [then, now] = [before, after].map(
    ({ services }) => services.find(({ name }) => name === 'fleet/web')!,
  );
  t.is(now!.runs, '1');
  t.true(now!.cpu! > 0 && now!.cpu! >= then!.cpu!);
  // httpd and its shell, within the limit of the manifest.
  t.true(now!.tasks! >= 2 && now!.tasks! <= 64);
  t.true(now!.memory! > 0 && now!.memory! < 2 ** 27);
  t.true(now!.network!.sent > then!.network!.sent, 'it has answered');
  t.true(now!.network!.received > then!.network!.received, 'and was asked');
  // Nothing of a node without a disk is asked of one.
  t.deepEqual(now!.disk, { read: 0, written: 0 });
  t.true(after.at > before.at && after.cpu! > before.cpu!);
  t.true(after.network!.sent > before.network!.sent);
  t.true(after.memory!.available < after.memory!.total);
});

test.serial(
  'frozen it answers nobody and uses no processor; throttled it answers; let go it goes on where it stood',
  async (t) => {
    t.timeout(60 * 60_000);
    const told = async () => (await asked()).status.services!.find(({ name }) => name === 'fleet/web')!;
    const { restarts } = await told();
    const restrained = async (restraints: Restraint[]) => {
      epoch += 1;
      await orderServices(rack, (await rack.record(NODE)).id, epoch, [web], restraints);
      await until((found) => found.get('fleet/web')?.restraint === restraints[0]?.how);
    };
    await restrained([{ name: 'fleet/web', how: 'freeze' }]);
    t.is(await answer(), '');
    const cpu = async () => (await asked()).usage.services.find(({ name }) => name === 'fleet/web')!.cpu;
    const before = await cpu();
    await sleep(3000);
    t.is(await cpu(), before);
    await restrained([{ name: 'fleet/web', how: 'throttle', rate: 2000 }]);
    t.is(await answer(), 'hello\n');
    await restrained([]);
    t.is(await answer(), 'hello\n');
    t.is((await told()).restarts, restarts, 'it was never begun again');
  },
);

test.serial('what it answered is known by whoever asks the server', async (t) => {
  t.timeout(60 * 60_000);
  const found = async () => {
    const { stdout } = await rack.bootwave('who', '--from', NODE, '--within', '3600', '--json');
    return (JSON.parse(stdout) as Who).senders.find(({ way, port }) => way === 'answered' && port === 8080);
  };
  for (const end = performance.now() + BOOT; (await found()) === undefined; await sleep(5000))
    if (performance.now() > end) throw new Error('the server has heard nothing of it');
  const sender = await found();
  t.log(sender);
  t.like(sender, { service: 'fleet/web', version: '1', owner: 'fleet', sure: true });
  t.true(sender!.packets > 0 && sender!.bytes > sender!.packets);
});

test.serial('what it wrote is read by whoever asks the server, with what its node says of it', async (t) => {
  const { stdout } = await rack.bootwave('service', 'logs', 'web', '--json');
  const { lines, silent } = JSON.parse(stdout) as Written;
  t.deepEqual(silent, []);
  t.log(lines);
  t.true(lines.some(({ text, byNode }) => text === 'up' && !byNode));
  t.true(
    lines.some(({ byNode }) => byNode),
    'that it was started',
  );
  t.true(lines.every(({ node, service }) => node === NODE && service === 'web'));
});

test.serial("a fork bomb, a memory hog and a node's own port harm themselves alone", async (t) => {
  t.timeout(60 * 60_000);
  const web = await publish('fleet/web', '1', WEB, {
    ports: [{ name: 'http', port: 8080 }],
    health: { check: { kind: 'http', port: 8080, path: '/' }, every: 5 },
    state: { path: '/state', bytes: 2 ** 20 },
  });
  const bomb = await publish('fleet/bomb', '1', 'b() { b | b & }; b; sleep 1000');
  const hog = await publish('fleet/hog', '1', 'x=x; while :; do x=$x$x; done');
  const sshd = await publish('fleet/sshd', '1', 'sleep 1000', { ports: [{ name: 'ssh', port: 22 }] });
  const check = {
    health: { check: { kind: 'exec', command: ['/bin/busybox', 'test', '-d', '/state'] }, every: 5 },
  };
  const checked = await publish('fleet/checked', '1', 'sleep 1000', check);
  await order([web, bomb, hog, sshd, checked]);
  const services = await until(
    (found) =>
      (found.get('fleet/hog')?.restarts ?? 0) > 0 &&
      found.get('fleet/checked')?.health === 'healthy' &&
      found.get('fleet/web')?.health === 'healthy',
  );
  t.log([...services.values()]);
  t.regex(services.get('fleet/sshd')!.why, /SERVICE_PORT_RESERVED/);
  t.is(services.get('fleet/web')?.restarts, 0);
  t.is(await answer(), 'hello\n');
  const { health } = (await asked()).status;
  t.true(health.healthy, health.reason);
});

test.serial('what the order no longer names is gone', async (t) => {
  t.timeout(60 * 60_000);
  await order([]);
  await until((found) => found.size === 0);
  t.is(await answer(), '');
});
