/** Looking at a node in rescue: the image's sshd and its configuration, root's own judgement of orders, and root's helper, all real. */
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { chmod, chown, copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { BootwaveError } from '../../../base/error.ts';
import { noteNode, takeOrder } from '../../../image/agent/root/orders/take.ts';
import { keyLayout } from '../../../keys/layout.ts';
import { rawPublicKey } from '../../../keys/ssh-key.ts';
import { askRescue, shownIn } from '../../../orchestrator/transport/ask-rescue.ts';
import { type Entry, openChannel } from '../../../orchestrator/transport/channel.ts';
import { readClientKey } from '../../../orchestrator/transport/client-key.ts';
import { RESCUE_LIMITS, type RescueRequest } from '../../../protocol/agent/rescue.ts';
import type { Rescue } from '../../../protocol/order.ts';
import { helperSocket } from '../../image/agent/root/helper-socket.ts';
import { keysIn } from '../../support/keys.ts';
import { signOrder } from '../../support/sign-order.ts';
import { NODE, orderOf } from '../signer/orders.ts';
import { type NodeSshd, nodeSshd } from './sshd.ts';

let keys: string;
let node: NodeSshd;
let helper: Awaited<ReturnType<typeof helperSocket>>;
let epoch = 0;

test.before(async () => {
  keys = await mkdtemp(join(tmpdir(), 'bootwave-test-rescue-keys-'));
  await keysIn(keys);
  node = await nodeSshd(await readFile(keyLayout(keys).ssh.pub, 'utf8'));
  await copyFile(keyLayout(keys).order.pub, join(fleet(), 'order.pub'));
  await noteNode(node.run, NODE);
  const socket = join(node.run, 'rescue.sock');
  helper = await helperSocket('rescue', ['nsenter', `--target=${node.pid}`, '--mount'], socket);
  // As the unit of the socket says.
  await chown(socket, 0, node.looker);
  await chmod(socket, 0o660);
});
test.after.always(async () => {
  await helper?.close();
  await node?.remove();
  if (keys !== undefined) await rm(keys, { recursive: true, force: true });
});
const fleet = () => join(node.folder, 'lib/bootwave/fleet');

/** As the agent hands it to root. */
async function order(rescue?: Rescue): Promise<void> {
  epoch += 1;
  const key = createPrivateKey(await readFile(keyLayout(keys).order.key, 'utf8'));
  const envelope = signOrder(
    orderOf({ epoch, image: null, ...(rescue === undefined ? {} : { rescue }) }, Date.now()),
    key,
  );
  // As its unit says (UMask).
  const mask = process.umask(0o077);
  await takeOrder(envelope, { fleet: fleet(), run: node.run, nv: null, now: Date.now }).finally(() =>
    process.umask(mask),
  );
}

const MINUTE = 60_000;
const authority = (): KeyObject => generateKeyPairSync('ed25519').privateKey;
const access = (key: KeyObject, life = 10 * MINUTE) => ({
  authority: rawPublicKey(key).toString('hex'),
  until: Date.now() + life,
});
const ask = (
  t: ExecutionContext,
  key: KeyObject,
  { incident = 3, id = NODE, request }: { incident?: number; id?: string; request?: RescueRequest } = {},
) => {
  const stop = new AbortController();
  t.teardown(() => stop.abort());
  const looker = { authority: key, incident, who: 'incident 3, operator:ann' };
  const looks = request ?? { operation: 'look', look: 'processes' };
  return askRescue(node.target(id), looker, looks, stop.signal);
};

test.serial('whom the order lets in sees what root shows, and the node logs who it was', async (t) => {
  const key = authority();
  await order({ incident: 3, access: access(key) });
  const { bytes, more } = await ask(t, key);
  t.regex(bytes.toString(), new RegExp(`^${process.pid} parent \\d+ uid 0 `, 'm'));
  t.false(more);
  t.regex((await ask(t, key, { request: { operation: 'look', look: 'network' } })).bytes.toString(), /^lo$/m);
  for (let i = 0; i < 500 && !node.log().includes('operator:ann'); i++)
    await new Promise((resolve) => setTimeout(resolve, 10));
  t.regex(node.log(), /Accepted publickey for bootwave-rescue .*ED25519-CERT.* ID incident 3, operator:ann/);
  const disk = { operation: 'hash-disk', disk: 'no such disk' } as const;
  await t.throwsAsync(ask(t, key, { request: disk }), { code: 'RESCUE_NO_DISK', name: 'NodeRefusal' });
});

test.serial('nobody gets in without an order, after it, or when its time is over', async (t) => {
  const key = authority();
  await order();
  await t.throwsAsync(ask(t, key), { code: 'LINK_AUTH' });
  await order({ incident: 3 });
  await t.throwsAsync(ask(t, key), { code: 'LINK_AUTH' }, 'in rescue, and nobody looks');
  await order({ incident: 3, access: access(key, -MINUTE) });
  await t.throwsAsync(ask(t, key), { code: 'LINK_AUTH' });
  await order({ incident: 3, access: access(key) });
  await t.notThrowsAsync(ask(t, key));
  await order();
  await t.throwsAsync(ask(t, key), { code: 'LINK_AUTH' });
});

test.serial(
  'nobody gets in with another authority, for another incident, another node, or as the other account',
  async (t) => {
    const key = authority();
    await order({ incident: 3, access: access(key) });
    await t.throwsAsync(ask(t, authority()), { code: 'LINK_AUTH' });
    await t.throwsAsync(ask(t, key, { incident: 4 }), { code: 'LINK_AUTH' });
    await t.throwsAsync(ask(t, key, { id: 'tpm-other' }), { code: 'LINK_AUTH' });
    // The key of the link opens the link and nothing else.
    const clientKey = readClientKey(await readFile(keyLayout(keys).ssh.key));
    const entry = {
      ...{ account: 'bootwave-rescue', key: clientKey, present: () => {} },
      open: (client, opened) => client.exec('bootwave-rescue', opened),
    } satisfies Entry;
    await t.throwsAsync(openChannel(node.target(NODE), { entry, timeout: 20_000 }), { code: 'LINK_AUTH' });
  },
);

test.serial('root judges by the order itself, also when sshd would let somebody in', async (t) => {
  const key = authority();
  await order({ incident: 3, access: access(key) });
  const line = await readFile(join(node.run, 'rescue-keys'), 'utf8');
  await order({ incident: 3 });
  await writeFile(join(node.run, 'rescue-keys'), line);
  await t.throwsAsync(ask(t, key), { code: 'RESCUE_OVER' });
});

test('whatever a node answers is an answer of bounded size, or an error with a code', (t) => {
  const texts = fc.oneof(
    fc.string(),
    fc.json(),
    fc
      .record({ ok: fc.boolean(), result: fc.anything(), error: fc.anything() })
      .map((one) => JSON.stringify(one)),
    fc
      .record({
        bytes: fc.oneof(fc.base64String(), fc.string()),
        more: fc.oneof(fc.boolean(), fc.anything()),
      })
      .map((result) => JSON.stringify({ ok: true, result })),
  );
  fc.assert(
    fc.property(texts, (text) => {
      try {
        const { bytes, more } = shownIn(text);
        return bytes.length <= RESCUE_LIMITS.bytes && typeof more === 'boolean';
      } catch (error) {
        return error instanceof BootwaveError && /^[A-Z][A-Z0-9_]+$/.test(error.code);
      }
    }),
    { numRuns: 2000 },
  );
  t.deepEqual(shownIn('{"ok":true,"result":{"bytes":"aGk=","more":false}}'), {
    bytes: Buffer.from('hi'),
    more: false,
  });
  const most = Buffer.alloc(RESCUE_LIMITS.bytes + 3).toString('base64');
  t.throws(() => shownIn(JSON.stringify({ ok: true, result: { bytes: most, more: false } })), {
    code: 'LINK_PROTOCOL',
  });
});

test.serial('a node that shows more than it may, nonsense, or nothing', async (t) => {
  const key = authority();
  await order({ incident: 3, access: access(key) });
  const socket = join(node.run, 'rescue.sock');
  const meets = async (answer: (socket: Socket) => void) => {
    await rm(socket, { force: true });
    const server = createServer({ allowHalfOpen: true }, (one) =>
      one.on('error', () => {}).once('data', () => answer(one)),
    );
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    await chown(socket, 0, node.looker);
    await chmod(socket, 0o660);
    return ask(t, key).finally(() => server.close());
  };
  const flood = (one: Socket) => {
    while (!one.destroyed && one.write('a'.repeat(65_536)));
    one.once('drain', () => flood(one));
  };
  await t.throwsAsync(meets(flood), { code: 'LINK_PROTOCOL', message: /more than it may/ });
  await t.throwsAsync(
    meets((one) => one.end('{"ok":true}')),
    { code: 'LINK_PROTOCOL' },
  );
  await t.throwsAsync(
    meets((one) => one.end()),
    { code: 'LINK_CUT' },
  );
});
