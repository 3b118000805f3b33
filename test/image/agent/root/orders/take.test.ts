/** Root's judgement of orders, against a real software TPM. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { mustRun } from '../../../../../base/run.ts';
import { decodeOrder } from '../../../../../formats/efi/load-option.ts';
import { parseTpmPublic } from '../../../../../formats/tpm/public.ts';
import { GLOBAL } from '../../../../../image/agent/root/efi-variable.ts';
import { type HelperPlaces, installedEsp, OPERATIONS } from '../../../../../image/agent/root/operations.ts';
import { decodeMemory, encodeMemory, MEMORY_BYTES } from '../../../../../image/agent/root/orders/memory.ts';
import { ORDER_INDEX, OrderNv } from '../../../../../image/agent/root/orders/nv.ts';
import {
  noteNode,
  orderInForce,
  remembered,
  takeOrder,
} from '../../../../../image/agent/root/orders/take.ts';
import { tpmNodeId } from '../../../../../protocol/enrolment/node-id.ts';
import type { Order } from '../../../../../protocol/order.ts';
import { SoftwareTpm } from '../../../../bootserver/enroll/support/swtpm.ts';
import { signOrder } from '../../../../support/sign-order.ts';

const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const NOW = Date.UTC(2026, 5, 1);
const DAY = 24 * 3600_000;

function signed(epoch: number, more: Partial<Order> = {}, version = '2.0') {
  const order: Order = {
    ...{ format: 1, node: 'tpm-1', epoch, issuedAt: NOW, expires: NOW + DAY, mode: 'installed' },
    ...{ image: { version, sha256: 'a'.repeat(64), size: 1 }, services: [], config: null },
    ...{ wipe: false, forgiven: [] },
    ...more,
  };
  return signOrder(order, privateKey);
}

/** A machine that can lose its disk (and with it /run: it restarts), but never its TPM. */
async function machine(t: ExecutionContext, kind: 'tpm' | 'none') {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-take-'));
  const software = kind === 'none' ? null : await new SoftwareTpm(folder).start();
  t.teardown(async () => {
    await software?.stop();
    await rm(folder, { recursive: true, force: true });
  });
  const fleet = join(folder, 'fleet');
  await mkdir(fleet);
  await writeFile(join(fleet, 'order.pub'), publicKey.export({ type: 'spki', format: 'pem' }));
  const clock = { now: NOW };
  const run = join(folder, 'run');
  const places = {
    ...{ fleet, run, now: () => clock.now },
    nv: software === null ? null : new OrderNv(software.environment),
  };
  await noteNode(run, 'tpm-1');
  return {
    places,
    clock,
    tool: (program: string, ...args: string[]) => mustRun(program, args, { env: software!.environment }),
    environment: software?.environment ?? {},
    take: (envelope: unknown) => takeOrder(envelope, places),
    async restart() {
      await rm(run, { recursive: true });
      await noteNode(run, 'tpm-1');
    },
  };
}

test('a captured order is refused by a machine that has lost its disk; the one in force is taken again', async (t) => {
  const { take, restart, places } = await machine(t, 'tpm');
  t.is((await remembered(places)).memory, 'empty', 'a new TPM');
  const captured = signed(3, { wipe: true });
  t.like(await take(captured), { accepted: 'new', epoch: 3, memory: 'tpm' });
  t.like(await take(signed(4)), { accepted: 'new', epoch: 4 });
  await restart();
  t.deepEqual(await remembered(places), { memory: 'tpm', epoch: 4, floor: null });
  await t.throwsAsync(take(captured), { code: 'ORDER_EPOCH_OLD' });
  await t.throwsAsync(take(signed(4, { wipe: true })), { code: 'ORDER_EPOCH_REUSED' });
  await t.throwsAsync(orderInForce(places), { code: 'ORDER_NONE' }, 'and nothing of it reaches a disk');
  t.like(await take(signed(4)), { accepted: 'same', epoch: 4 });
  t.is((await orderInForce(places)).epoch, 4);
});

test('the floor rises with orders and never sinks, also without a disk', async (t) => {
  const { take, restart, places } = await machine(t, 'tpm');
  await take(signed(1, {}, '1.0'));
  await take(signed(2, { floor: '1.5' }));
  await t.throwsAsync(take(signed(3, { floor: '1.0' }, '1.4')), { code: 'ORDER_BELOW_FLOOR' });
  await t.throwsAsync(take(signed(3, { floor: '3.0' })), { code: 'ORDER_BELOW_FLOOR' }, 'by its own floor');
  t.like(await take(signed(3, {}, '1.5')), { floor: '1.5' }, 'an order without one says nothing about it');
  await restart();
  await t.throwsAsync(take(signed(4, {}, '1.4')), { code: 'ORDER_BELOW_FLOOR' });
  t.like(await take(signed(4, { image: null, mode: 'netboot', floor: '2.0' })), { floor: '2.0' });
  t.deepEqual(await remembered(places), { memory: 'tpm', epoch: 4, floor: '2.0' });
});

test('the TPM is written to when something rises, and not for the same order again', async (t) => {
  const { take, places, tool } = await machine(t, 'tpm');
  await take(signed(1));
  const nv = places.nv!;
  let writes = 0;
  places.nv = {
    read: () => nv.read(),
    write: (...args: Parameters<OrderNv['write']>) => {
      writes += 1;
      return nv.write(...args);
    },
  } as OrderNv;
  for (let i = 0; i < 3; i += 1) await take(signed(1));
  await t.throwsAsync(take(signed(1, { node: 'tpm-2' })), { code: 'ORDER_WRONG_NODE' });
  t.is(writes, 0);
  await take(signed(2, { floor: '1.0' }));
  t.is(writes, 1, 'epoch and floor together');
  const { stdout } = await tool('tpm2_nvreadpublic', ORDER_INDEX);
  t.regex(stdout, /friendly: ownerwrite\|ownerread\|authread\|no_da\|written/);
});

test('a TPM that was cleared says so, and learns again', async (t) => {
  const { take, restart, places, tool } = await machine(t, 'tpm');
  await take(signed(9, { floor: '2.0' }));
  await tool('tpm2_clear', '-c', 'p');
  await restart();
  t.deepEqual(await remembered(places), { memory: 'empty', epoch: 0, floor: null });
  t.like(await take(signed(10)), { memory: 'tpm', epoch: 10 });
});

test('a TPM that cannot keep anything does not make a node deaf, and is told', async (t) => {
  const { take, restart, places, tool } = await machine(t, 'tpm');
  await tool('tpm2_changeauth', '-c', 'o', 'secret');
  t.like(await take(signed(5)), { memory: 'broken', epoch: 5 });
  await t.throwsAsync(take(signed(4)), { code: 'ORDER_EPOCH_OLD' }, 'for this boot it remembers by itself');
  await restart();
  t.like(await take(signed(4)), { memory: 'broken' });
  await tool('tpm2_changeauth', '-c', 'o', '-p', 'secret');
  t.like(await take(signed(6)), { memory: 'tpm' });
  await tool('tpm2_nvundefine', '-C', 'o', ORDER_INDEX);
  await tool(
    'tpm2_nvdefine',
    '-C',
    'o',
    ORDER_INDEX,
    '-s',
    String(MEMORY_BYTES),
    '-a',
    'ownerread|ownerwrite',
  );
  t.like(await remembered(places), { memory: 'empty' }, 'defined, and the power was cut');
  t.like(await take(signed(7)), { memory: 'tpm', epoch: 7 });
});

test('without a TPM only the expiry protects, and what was taken in this boot', async (t) => {
  const { take, restart, clock, places } = await machine(t, 'none');
  t.like(await take(signed(5, { floor: '2.0' })), { memory: 'none', accepted: 'new' });
  await t.throwsAsync(take(signed(4)), { code: 'ORDER_EPOCH_OLD' });
  await t.throwsAsync(take(signed(6, {}, '1.0')), { code: 'ORDER_BELOW_FLOOR' });
  await restart();
  t.like(await take(signed(4)), { epoch: 4 });
  clock.now = NOW + DAY;
  await t.throwsAsync(orderInForce(places), { code: 'ORDER_EXPIRED' });
  await t.throwsAsync(take(signed(3, { expires: NOW + 3 * DAY })), { code: 'ORDER_EPOCH_OLD' });
});

test('root believes nobody: not the sender, not the agent, and no other machine’s order', async (t) => {
  const { take, places } = await machine(t, 'none');
  const stranger = generateKeyPairSync('ed25519').privateKey;
  const good = signed(1);
  const { payload } = good;
  const order = JSON.parse(Buffer.from(payload, 'base64').toString()) as Order;
  await t.throwsAsync(take(signOrder(order, stranger)), { code: 'ORDER_KEY_UNKNOWN' });
  const wiping = Buffer.from(JSON.stringify({ ...order, wipe: true })).toString('base64');
  await t.throwsAsync(take({ ...good, payload: wiping }), { code: 'ORDER_SIGNATURE' });
  await t.throwsAsync(take(signed(1, { node: 'tpm-2' })), { code: 'ORDER_WRONG_NODE' });
  await t.throwsAsync(take(null), { code: 'ORDER_MALFORMED' });
  await t.throwsAsync(orderInForce(places), { code: 'ORDER_NONE' });
  await rm(join(places.run, 'node-id'));
  await t.throwsAsync(take(good), { code: 'ORDER_NODE_UNKNOWN' });
});

test('the helper finds out by itself which machine this is, and takes orders for it alone', async (t) => {
  const { places, environment } = await machine(t, 'tpm');
  const helper: HelperPlaces = { ...places, sys: join(places.run, 'sys'), efivars: places.run, environment };
  const { tpm } = await OPERATIONS.identify({ operation: 'identify' }, helper);
  const node = tpmNodeId(parseTpmPublic(Buffer.from(tpm!.ek, 'base64'), 'EK'));
  const order = (epoch: number, id: string) => {
    const now = Date.now();
    const envelope = signed(epoch, { node: id, issuedAt: now, expires: now + DAY });
    return OPERATIONS['take-order']({ operation: 'take-order', envelope }, helper);
  };
  await t.throwsAsync(order(1, 'tpm-1'), { code: 'ORDER_WRONG_NODE' });
  // Two at once, the lower one last: it must not be written over the higher one.
  const [high, low] = await Promise.allSettled([order(8, node), order(7, node)]);
  t.is(high.status, 'fulfilled');
  t.truthy(low);
  t.is((await OPERATIONS['order-memory']({ operation: 'order-memory' }, helper)).epoch, 8);
});

test('the firmware is told to start from what the order in force names; an order is taken whatever it says', async (t) => {
  const { places, environment } = await machine(t, 'tpm');
  const { run } = places;
  const helper: HelperPlaces = { ...places, sys: join(run, 'sys'), efivars: run, environment };
  const { tpm } = await OPERATIONS.identify({ operation: 'identify' }, helper);
  const node = tpmNodeId(parseTpmPublic(Buffer.from(tpm!.ek, 'base64'), 'EK'));
  const now = Date.now();
  const take = (epoch: number, mode: Order['mode']) => {
    const envelope = signed(epoch, { node, issuedAt: now, expires: now + DAY, mode });
    return OPERATIONS['take-order']({ operation: 'take-order', envelope }, helper);
  };
  const variable = join(run, `BootOrder-${GLOBAL}`);
  const order = async () => decodeOrder((await readFile(variable)).subarray(4));
  await writeFile(variable, Buffer.from([7, 0, 0, 0, 4, 0, 2, 0]));
  await take(1, 'installed');
  t.deepEqual(await order(), [4, 2], 'no disk is installed yet');
  const esp = { partition: 1, start: 2048, size: 4096, uuid: '0fc63daf-8483-4772-8e79-3d69d8477de4' };
  await writeFile(installedEsp(run), JSON.stringify(esp));
  await take(1, 'installed');
  t.deepEqual(await order(), [0, 4, 2], 'the same order comes again before the restart');
  await take(2, 'netboot');
  t.deepEqual(await order(), [4, 2, 0]);
  await writeFile(installedEsp(run), 'torn');
  t.like(await take(3, 'installed'), { epoch: 3, accepted: 'new' });
});

test('what lies in the TPM is read as it was written, or not at all', (t) => {
  const version = fc.stringMatching(/^[0-9a-z][0-9a-z.~-]{0,62}[0-9a-z]$/);
  const hex = fc.stringMatching(/^[0-9a-f]{64}$/);
  const memory = fc.record({
    epoch: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    digest: hex,
    floor: fc.option(version),
  });
  fc.assert(fc.property(memory, (one) => t.deepEqual(decodeMemory(encodeMemory(one)), one) === true));
  fc.assert(
    fc.property(memory, fc.nat(MEMORY_BYTES - 1), fc.integer({ min: 1, max: 255 }), (one, at, bits) => {
      const bytes = encodeMemory(one);
      bytes[at] = bytes[at]! ^ bits;
      return decodeMemory(bytes) === null;
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => decodeMemory(Buffer.from(bytes)) === null),
  );
});
