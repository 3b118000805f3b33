import { generateKeyPairSync } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { BootwaveError } from '../../../base/error.ts';
import { retire } from '../../../orchestrator/fleet/events/operate.ts';
import { take } from '../../../orchestrator/fleet/outcome.ts';
import type { NodeRecord } from '../../../orchestrator/fleet/record.ts';
import { type Installer, install } from '../../../orchestrator/install/install.ts';
import { startInstalls } from '../../../orchestrator/install/start.ts';
import { LOST_AFTER } from '../../../orchestrator/install/step.ts';
import { readIssued } from '../../../orchestrator/orders/issued.ts';
import type { ArgsOf, OpName, Status } from '../../../protocol/link/messages.ts';
import { orderKeyId, verifyOrder } from '../../../protocol/order-envelope.ts';
import { realSigner } from '../../support/real-signer.ts';
import { until } from '../../support/until.ts';
import {
  beatOfBoot,
  certificateFor,
  enrolment,
  fleetFor,
  START,
  silent,
  temporaryData,
} from '../fleet/support.ts';

const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const keys = new Map([[orderKeyId(publicKey), publicKey]]);
const facts = (letter: string) => ({ sha256: letter.repeat(64), size: 10, pcr11: [] });
const IMAGES = { '1.0': facts('1'), '2.0': facts('2') };

/** Healthy members that are to be installed, and the nodes behind them as far as an installer sees them. */
async function setUp(t: ExecutionContext, count = 1, wipe = false) {
  const world = await fleetFor(t);
  const { fleet, directory, clock } = world;
  const ids: string[] = [];
  for (let n = 1; n <= count; n += 1) {
    const e = enrolment(n);
    await directory.enrol(e);
    await fleet.approve(e.id, e.words, world.by());
    await directory.recordCertificate(e.id, certificateFor(e));
    await directory.heartbeat(e.id, certificateFor(e).serial, beatOfBoot(e));
    ids.push(e.id);
    await change(e.id, (record) => ({ wanted: { ...record.wanted, mode: 'installed', wipe } }));
  }
  async function change(id: string, set: (record: NodeRecord) => Partial<NodeRecord>) {
    await fleet.nodes.update(id, (record) => ({
      outcome: take(record!, {
        ...{ to: record!.state, at: START, actor: 'test', action: 'want', reason: '' },
        set: set(record!),
      }),
    }));
  }

  const machine = () => ({
    disk: [] as string[],
    fromDisk: false,
    order: null as Status['order'],
    image: '',
    wipes: 0,
  });
  const machines = new Map(ids.map((id) => [id, machine()]));
  const at = (id: string) => machines.get(id)!;
  const asked: string[] = [];
  const fail = new Map<string, BootwaveError>();
  let before: (id: string, op: OpName) => Promise<void> | void = () => {};
  const refuse = (code: string) => new BootwaveError({ code, what: code });
  const answers: { [O in OpName]?: (id: string, args: ArgsOf<O>) => unknown } = {
    status: (id): Status => ({
      node: id,
      running: { version: '1.0', kernel: '6', bootId: 'b', pcr11: null },
      ...(at(id).disk.length > 0 ? { mode: 'installed', disk: '0x5000c500' } : { mode: 'netboot' }),
      state: 'idle',
      order: at(id).order,
      slots: at(id).disk.map((version) => ({
        ...{ version, file: `bootwave_${version}.efi`, state: 'good', triesLeft: null, triesDone: null },
        ...{ booted: at(id).fromDisk, reason: '' },
      })) as Status['slots'],
      staging: null,
      refused: [],
      health: { healthy: true, reason: '' },
    }),
    order: (id, { envelope }) => {
      const node = at(id);
      const { order, digest } = verifyOrder(envelope, keys, { nodeId: id, now: START, last: node.order });
      node.order = { epoch: order.epoch, digest, expires: order.expires };
      node.image = order.image?.version ?? '';
      if (order.wipe) node.wipes += 1;
    },
    stage: (id) => void (at(id).disk.includes(at(id).image) || at(id).disk.push(at(id).image)),
    activate: (id) => {
      if (!at(id).disk.includes(at(id).image)) throw refuse('ACTIVATE_NOT_STAGED');
      at(id).fromDisk = true;
    },
  };
  let newest = '1.0';
  const stop = new AbortController();
  t.teardown(() => stop.abort());
  const signer = await realSigner(await temporaryData(t), privateKey, IMAGES, () => clock.now);
  t.teardown(signer.close);
  if (wipe) for (const node of ids) await signer.says({ say: 'wipe', node });
  const installer: Installer = {
    fleet,
    signer: signer.client,
    published: async () => ({ images: IMAGES, newest }),
    signal: stop.signal,
    now: () => clock.now,
    pool: {
      drop: () => {},
      request: (async (id: string, op: OpName, args: never) => {
        asked.push(`${id} ${op}`);
        await before(id, op);
        const error = fail.get(id);
        if (error !== undefined) throw error;
        return { result: answers[op]?.(id, args) };
      }) as never,
    },
  };
  const record = async (id = ids[0]!) => (await fleet.nodes.get(id))!;
  return {
    ...world,
    ids,
    installer,
    node: at(ids[0]!),
    asked,
    fail,
    change,
    record,
    step: async () => install(installer, await record()),
    async end() {
      for (let i = 0; i < 6 && (await record()).state === 'installing'; i += 1)
        await install(installer, await record());
    },
    publish: (version: string) => {
      newest = version;
    },
    interrupt: (what: typeof before) => {
      before = what;
    },
    async start() {
      const done = startInstalls({
        ...installer,
        log: silent,
        times: { look: 1, first: 1, most: 1, away: 1 },
      });
      t.teardown(() => {
        stop.abort();
        return done;
      });
      return async () => {
        stop.abort();
        await done;
      };
    },
    noted: async (id: string) =>
      (await fleet.audit.read({ node: id })).filter(({ actor }) => actor === 'install'),
  };
}

test('stage, record, restart, done; the word to wipe is in no order after the disk is bootable', async (t) => {
  const { step, record, node } = await setUp(t, 1, true);
  await step();
  t.is(node.wipes, 1);
  await step();
  const between = await record();
  t.is(between.state, 'installing');
  t.is(between.installedAt, START);
  t.deepEqual(between.disks, ['0x5000c500'], 'what was installed is known by its WWN');
  t.false(between.wanted.wipe, 'also where nobody ever comes to the end');
  await step();
  t.is(node.wipes, 1);
  await step();
  t.is((await record()).state, 'healthy');
});

test('an image that is published in the middle does not leave the node with one that it has not', async (t) => {
  const { step, end, record, node, publish } = await setUp(t);
  await step();
  await step();
  publish('2.0');
  await end();
  t.deepEqual(node.disk, ['1.0', '2.0']);
  t.is((await record()).state, 'healthy');
});

test('a pinned node gets its pinned image in place of the newest', async (t) => {
  const { fleet, by, ids, step, end, node, publish } = await setUp(t);
  await fleet.pin(ids[0]!, '1.0', 'x', null, by());
  publish('2.0');
  await step();
  await end();
  t.deepEqual(node.disk, ['1.0']);
});

test('a disk of an earlier life gets the image that is wanted now', async (t) => {
  const { step, end, record, node, publish } = await setUp(t);
  node.disk = ['0.9'];
  publish('2.0');
  await step();
  await end();
  t.deepEqual(node.disk, ['0.9', '2.0']);
  t.is((await record()).state, 'healthy');
});

test('a node that is put out or set back in the middle is ordered nothing more', async (t) => {
  const { step, ids, fleet, change, interrupt, by, asked } = await setUp(t);
  interrupt(async (id, op) => {
    if (op === 'status') await change(id, (record) => ({ wanted: { ...record.wanted, mode: 'netboot' } }));
  });
  await t.throwsAsync(step(), { code: 'INSTALL_NOT_WANTED' });
  interrupt(async (id, op) => {
    if (op !== 'status') return;
    await change(id, (record) => ({ wanted: { ...record.wanted, mode: 'installed' } }));
    await fleet.nodes.update(id, (record) => ({ outcome: retire(record!, { ...by(), reason: 'gone' }) }));
  });
  await t.throwsAsync(step(), { code: 'INSTALL_NOT_WANTED' });
  t.deepEqual(asked, [`${ids[0]} status`, `${ids[0]} status`]);
});

test('the same trouble is told once, however often it is tried', async (t) => {
  const { ids, fail, asked, start, noted } = await setUp(t);
  const id = ids[0]!;
  fail.set(id, new BootwaveError({ code: 'INSTALL_DISK_DATA', what: 'sda holds data' }));
  const stop = await start();
  await until(() => asked.length >= 8);
  fail.set(id, new BootwaveError({ code: 'INSTALL_DISK_IN_USE', what: 'sda is in use' }));
  const before = asked.length;
  await until(() => asked.length >= before + 8);
  await stop();
  t.deepEqual(
    (await noted(id)).map(({ reason }) => reason),
    ['sda holds data', 'sda is in use'],
  );
});

test('nodes that nobody reaches keep no other one waiting', async (t) => {
  const { ids, fail, asked, start, interrupt } = await setUp(t, 40);
  const last = ids.toSorted().slice(-2);
  for (const id of ids)
    if (!last.includes(id)) fail.set(id, new BootwaveError({ code: 'LINK_CONNECT', what: 'nobody there' }));
  // As long as a connection takes to fail: the dead ones are due again before the living one has had its turn.
  interrupt(async (id) => {
    if (fail.has(id)) await sleep(20);
  });
  await start();
  await until(() => last.every((id) => asked.includes(`${id} stage`)));
  t.pass();
});

test('a node that vanishes in the middle counts as lost after half an hour, and is gone on with when it is back', async (t) => {
  const { step, record, ids, fail, clock, start } = await setUp(t);
  await step();
  fail.set(ids[0]!, new BootwaveError({ code: 'LINK_CONNECT', what: 'nobody there' }));
  const stop = await start();
  await sleep(50);
  t.is((await record()).state, 'installing');
  clock.now += LOST_AFTER;
  await until(async () => (await record()).state === 'unreachable');
  await stop();
});

test('a node that leaves its disk is told so before its next restart, once, and again when it did not hear it', async (t) => {
  const { ids, change, record, node, asked, end, step, start, fleet, fail } = await setUp(t);
  const [id = ''] = ids;
  const orders = () => asked.filter((line) => line === `${id} order`).length;
  await step();
  await end();
  t.is((await record()).state, 'healthy');
  await change(id, ({ wanted }) => ({ wanted: { ...wanted, mode: 'netboot' }, installedAt: null }));
  fail.set(id, new BootwaveError({ code: 'LINK_TIMEOUT', what: 'away' }));
  const before = { epoch: node.order!.epoch, orders: orders() };
  const stop = await start();
  await until(() => asked.filter((line) => line === `${id} status`).length > 4);
  fail.clear();
  await until(() => node.order!.epoch > before.epoch);
  const issued = (await readIssued(fleet.redis, [id])).get(id)!;
  t.like(issued.order, { mode: 'netboot', image: null, wipe: false, epoch: node.order!.epoch });
  const told = orders();
  await sleep(100);
  t.is(orders(), told, 'it is not told over and over');
  await stop();
  t.is((await record()).state, 'healthy', 'it runs on');
  t.is((await record()).installedAt, null);
});

test('a node that was always on the network is asked nothing', async (t) => {
  const { ids, change, asked, start } = await setUp(t, 2);
  await change(ids[0]!, ({ wanted }) => ({ wanted: { ...wanted, mode: 'netboot' } }));
  const stop = await start();
  await until(() => asked.some((line) => line.startsWith(ids[1]!)));
  await sleep(50);
  await stop();
  t.false(asked.some((line) => line.startsWith(ids[0]!)));
});
