import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { BootwaveError } from '../../../../base/error.ts';
import type { AskDisk, DiskRequest } from '../../../../image/agent/disk/operations.ts';
import { OPS } from '../../../../image/agent/link/protocol.ts';
import { planActivate } from '../../../../image/agent/release/activate.ts';
import { boot } from '../../../../image/agent/release/choice.ts';
import { planConfirm } from '../../../../image/agent/release/confirm.ts';
import { DOWNLOAD } from '../../../../image/agent/release/download.ts';
import { Release } from '../../../../image/agent/release/handlers.ts';
import { placeImage } from '../../../../image/agent/release/place.ts';
import { recordFile } from '../../../../image/agent/release/record-file.ts';
import { ESP_RESERVE, readSlots } from '../../../../image/agent/release/slots.ts';
import type { Order } from '../../../../keys/order.ts';
import { Volume } from './volume.ts';

const contentOf = (version: string) => Buffer.alloc(5000, `image ${version} `);
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const context = () => ({ signal: new AbortController().signal, progress: () => {} });

/** A node whose disk is a model volume; everything above the helper is the real code. */
async function node(t: ExecutionContext) {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-release-'));
  let held = false;
  const server = createServer((request, response) => {
    const version = /bootwave_(.+)\.efi$/.exec(request.url ?? '')![1]!;
    const content = contentOf(version);
    fetched.push(version);
    response.writeHead(200, { 'content-length': content.length });
    if (held) response.write(content.subarray(0, 1000));
    else response.end(content);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(async () => {
    server.closeAllConnections();
    server.close();
    await rm(folder, { recursive: true, force: true });
  });
  const esp = new Volume(ESP_RESERVE + 15_000);
  esp.put('bootwave_1.efi', contentOf('1'));
  const machine = { running: '1', boots: 1, restarts: 0, healthy: true, counted: null as string | null };
  /** What the disk waits for before it does anything. */
  let slow: Promise<void> = Promise.resolve();
  let order: Order | null = null;
  const withdrawn = new Set<string>();
  const fetched: string[] = [];

  const ask = (async (request: DiskRequest) => {
    const facts = { running: machine.running, fromDisk: true, pinned: null };
    const slots = readSlots(await esp.list());
    switch (request.operation) {
      case 'release-status':
        return {
          disk: 'sda',
          files: await esp.list(),
          loader: { fromDisk: true, counted: machine.counted, selected: null, pinned: null },
        };
      case 'release-place': {
        await slow;
        const { version, sha256 } = request.image;
        const data = await readFile(join(folder, `${version}_${sha256}.download`)).catch(() => null);
        const source =
          data === null
            ? null
            : (async function* () {
                yield data;
              })();
        return placeImage(esp, request.image, machine.running, source);
      }
      case 'release-activate': {
        const plan = planActivate(slots, { ...facts, version: request.version });
        if (plan.kind === 'running') return { needed: false, demoted: [] };
        for (const { from, to } of plan.renames) await esp.rename(from, to);
        return { needed: true, demoted: plan.renames.map(({ to }) => to) };
      }
      case 'release-bless': {
        const plan = planConfirm(slots, { ...facts, healthy: true });
        if (plan.kind === 'nothing') return { blessed: null, reason: plan.reason };
        await esp.rename(plan.rename.from, plan.rename.to);
        return { blessed: plan.version, reason: '' };
      }
      default:
        throw new Error(`not asked for here: ${request.operation}`);
    }
  }) as AskDisk;

  const release = () =>
    new Release({
      node: 'tpm-1',
      running: { version: machine.running, kernel: '6.1', bootId: `boot-${machine.boots}`, pcr11: null },
      order: () => (order === null ? null : { order, digest: 'd'.repeat(64) }),
      health: () => ({ healthy: machine.healthy, reason: machine.healthy ? '' : 'no server' }),
      ask,
      records: recordFile(join(folder, 'record.json')),
      downloads: folder,
      mustBeReleased: async ({ version }) => {
        if (withdrawn.has(version)) throw new BootwaveError({ code: 'RELEASE_NOT_LISTED', what: version });
      },
      imageUrl: ({ version }) =>
        `http://127.0.0.1:${(server.address() as AddressInfo).port}/bootwave_${version}.efi`,
      restart: async () => {
        machine.restarts += 1;
      },
      now: () => 1000 + machine.boots,
      pace: { ...DOWNLOAD, silence: 2000, attempts: 2, first: 1, most: 1 },
    });
  return {
    esp,
    machine,
    release,
    folder,
    withdrawn,
    fetched,
    hold: (on: boolean) => {
      held = on;
    },
    /** @returns lets the disk go on */
    slow(): () => void {
      const { promise, resolve } = Promise.withResolvers<void>();
      slow = promise;
      return resolve;
    },
    orders(version: string, epoch: number, forgiven: string[] = [], expires = 1e15) {
      const image = { version, sha256: sha256(contentOf(version)), size: 5000 };
      order = {
        format: 1,
        node: 'tpm-1',
        epoch,
        issuedAt: 0,
        expires,
        mode: 'installed',
        image,
        services: [],
        config: null,
        wipe: false,
        forgiven,
      };
    },
    /** Power off and on: what systemd-boot starts now runs. */
    async restart() {
      const before = await esp.list();
      const { started, files } = boot(before);
      for (const [i, { name }] of before.entries())
        if (files[i]!.name !== name) await esp.rename(name, files[i]!.name);
      machine.running = started!.version;
      machine.counted = started!.triesLeft === null ? null : started!.file;
      machine.boots += 1;
      const next = release();
      await next.image.afterBoot();
      return next;
    },
  };
}

const names = async (esp: Volume) => (await esp.list()).map(({ name }) => name).sort();
const bootId = (machine: { boots: number }) => `boot-${machine.boots}`;

test('stage, activate, restart, confirm: the new image is good, and status says so in the words of the link', async (t) => {
  const { release, orders, esp, machine, restart } = await node(t);
  orders('2', 1);
  const first = release();
  t.deepEqual(await first.stage({ epoch: 1 }, context()), {
    version: '2',
    file: 'bootwave_2+3.efi',
    already: false,
  });
  t.true((await first.stage({ epoch: 1 }, context())).already);
  t.deepEqual(await first.activate({ epoch: 1, bootId: bootId(machine) }), { restarting: true });
  t.is(machine.restarts, 1);
  const second = await restart();
  t.is(machine.running, '2');
  t.is(await second.image.confirm(), '2');
  t.is(await second.image.confirm(), null, 'said again, done once');
  t.deepEqual(await names(esp), ['bootwave_1.efi', 'bootwave_2.efi']);
  const status = OPS.status.result.parse(await second.status());
  t.deepEqual(status.refused, []);
  t.deepEqual(
    status.slots.map(({ version, state, booted }) => [version, state, booted]),
    [
      ['2', 'good', true],
      ['1', 'good', false],
    ],
  );
  t.deepEqual(await second.activate({ epoch: 1, bootId: bootId(machine) }), { restarting: false });
});

test('an image that never becomes healthy is left, told with its reason, refused, and tried again only when forgiven', async (t) => {
  const { release, orders, machine, restart, esp } = await node(t);
  orders('2', 1);
  const first = release();
  await first.stage({ epoch: 1 }, context());
  await first.activate({ epoch: 1, bootId: bootId(machine) });
  let last = await restart();
  machine.healthy = false;
  t.is(await last.image.confirm(), null, 'what is not healthy is not blessed');
  await last.image.unhealthy('the boot server does not answer');
  for (let i = 0; i < 3; i += 1) last = await restart();
  t.is(machine.running, '1');
  machine.healthy = true;
  const { refused } = await last.status();
  t.is(refused[0]?.version, '2');
  t.regex(refused[0]!.reason, /the boot server does not answer/);
  await t.throwsAsync(last.stage({ epoch: 1 }, context()), { code: 'RELEASE_REFUSED' });
  await t.throwsAsync(last.activate({ epoch: 1, bootId: bootId(machine) }), { code: 'RELEASE_REFUSED' });

  orders('2', 2, ['2']);
  t.deepEqual(await last.forgive({ epoch: 2 }), { forgiven: ['2'] });
  last = await restart();
  t.is((await last.stage({ epoch: 2 }, context())).file, 'bootwave_2+3.efi');
  t.deepEqual(await names(esp), ['bootwave_1.efi', 'bootwave_2+3.efi']);
  t.true((await last.activate({ epoch: 2, bootId: bootId(machine) })).restarting);
});

test('an older image is rolled back to although it is older, and the record survives being lost', async (t) => {
  const { release, orders, machine, restart, esp, folder } = await node(t);
  esp.put('bootwave_2.efi', contentOf('2'));
  machine.running = '2';
  orders('1', 5);
  const first = release();
  t.true((await first.stage({ epoch: 5 }, context())).already);
  await first.activate({ epoch: 5, bootId: bootId(machine) });
  await writeFile(join(folder, 'record.json'), '{"torn');
  const second = await restart();
  t.is(machine.running, '1');
  await second.image.confirm();
  t.deepEqual(await names(esp), ['bootwave_1.efi', 'bootwave_2+0.efi']);
  t.deepEqual((await second.status()).refused, [], 'what was demoted did not fail');
});

test('staging goes on without the link, answers status meanwhile, and can be cancelled', async (t) => {
  const { release, orders, hold } = await node(t);
  orders('2', 1);
  hold(true);
  const first = release();
  const link = new AbortController();
  const staged = first.stage({ epoch: 1 }, { signal: link.signal, progress: () => {} });
  link.abort(new Error('cut'));
  await t.throwsAsync(staged, { message: 'cut' });
  const during = await first.status();
  t.is(during.state, 'staging');
  t.is(during.staging?.version, '2');
  t.deepEqual(await first.cancel(), { cancelled: true });
  t.deepEqual(await first.cancel(), { cancelled: false });
  const after = await first.status();
  t.is(after.state, 'idle');
  t.regex(after.staging?.error ?? '', /cancelled/);
  hold(false);
  t.is((await first.stage({ epoch: 1 }, context())).file, 'bootwave_2+3.efi');
  t.is((await first.status()).staging, null);
});

test('without an order for the disk nothing is staged or started', async (t) => {
  const { release } = await node(t);
  await t.throwsAsync(release().stage({ epoch: 1 }, context()), { code: 'RELEASE_NO_ORDER' });
  await t.throwsAsync(release().activate({ epoch: 1, bootId: 'boot-1' }), { code: 'RELEASE_NO_ORDER' });
});

test('an agent that starts again in the boot that was blessed does not judge it again', async (t) => {
  const { release, orders, machine, restart, folder } = await node(t);
  orders('2', 1);
  const first = release();
  await first.stage({ epoch: 1 }, context());
  await first.activate({ epoch: 1, bootId: bootId(machine) });
  const second = await restart();
  t.true(await release().image.afterBoot(), 'until then it is on trial, whoever asks');
  const before = await readFile(join(folder, 'record.json'));
  await second.image.confirm();
  // As if it had been killed before it wrote the blessing down; the loader still says that this boot was counted.
  await writeFile(join(folder, 'record.json'), before);
  t.not(machine.counted, null);
  const again = release();
  t.false(await again.image.afterBoot());
  t.deepEqual(JSON.parse(await readFile(join(folder, 'record.json'), 'utf8')), {
    format: 1,
    attempts: {},
    refused: [],
    trial: null,
    forgiven: { epoch: 0, versions: [] },
  });
});

test('a disk that takes its time does not keep a node from answering, and is asked once for all who ask', async (t) => {
  const { release, orders, slow } = await node(t);
  orders('2', 1);
  const first = release();
  await first.image.afterBoot();
  const goOn = slow();
  const staged = first.stage({ epoch: 1 }, context());
  let status = await first.status();
  while (status.staging?.done !== 5000) {
    await new Promise((resolve) => setImmediate(resolve));
    status = await first.status();
  }
  for (let i = 0; i < 20; i += 1) await first.status();
  t.is((await first.status()).state, 'staging');
  goOn();
  await staged;
  const both = await Promise.all([first.status(), first.status()]);
  for (const { slots } of both)
    t.deepEqual(
      slots.map(({ file }) => file),
      ['bootwave_2+3.efi', 'bootwave_1.efi'],
    );
});

test('a name that a power cut left without bytes is no image', async (t) => {
  const { esp, orders, machine, release } = await node(t);
  esp.put('bootwave_2.efi', Buffer.alloc(0));
  esp.put('bootwave_2+2-1.efi', contentOf('2'));
  machine.running = '2';
  orders('2', 1);
  const it = release();
  t.is((await it.status()).slots.length, 2);
});

test('an order that has expired since is no word to act on', async (t) => {
  const { release, orders, machine } = await node(t);
  orders('2', 1, [], 1000);
  const it = release();
  await t.throwsAsync(it.stage({ epoch: 1 }, context()), { code: 'ORDER_EXPIRED' });
  await t.throwsAsync(it.activate({ epoch: 1, bootId: bootId(machine) }), { code: 'ORDER_EXPIRED' });
  await t.throwsAsync(it.forgive({ epoch: 1 }), { code: 'ORDER_EXPIRED' });
});

test('what is not released is neither fetched nor written; what was withdrawn since is not started', async (t) => {
  const { release, orders, machine, esp, withdrawn, fetched } = await node(t);
  orders('2', 1);
  withdrawn.add('2');
  await t.throwsAsync(release().stage({ epoch: 1 }, context()), { code: 'RELEASE_NOT_LISTED' });
  t.deepEqual([await names(esp), fetched], [['bootwave_1.efi'], []]);
  withdrawn.clear();
  await release().stage({ epoch: 1 }, context());
  withdrawn.add('2');
  // Another start of the agent: what an earlier one knew is not taken for granted.
  const later = release();
  await t.throwsAsync(later.activate({ epoch: 1, bootId: bootId(machine) }), { code: 'RELEASE_NOT_LISTED' });
  t.is(machine.restarts, 0);
  await t.throwsAsync(
    later.stage({ epoch: 1 }, context()),
    { code: 'RELEASE_NOT_LISTED' },
    'though it is there',
  );
  withdrawn.clear();
  t.true((await later.activate({ epoch: 1, bootId: bootId(machine) })).restarting);
});
