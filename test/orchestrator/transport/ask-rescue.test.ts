/** Looking at a node in rescue: the image's sshd and its configuration, root's own judgement of orders, and root's helper, all real. */
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { chmod, chown, copyFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { noteNode, takeOrder } from '../../../image/agent/root/orders/take.ts';
import { keyLayout } from '../../../keys/layout.ts';
import { rawPublicKey } from '../../../keys/ssh-key.ts';
import { askRescue } from '../../../orchestrator/transport/ask-rescue.ts';
import { openChannel } from '../../../orchestrator/transport/channel.ts';
import { readClientKey } from '../../../orchestrator/transport/client-key.ts';
import type { RescueRequest } from '../../../protocol/agent/rescue.ts';
import type { Rescue } from '../../../protocol/order.ts';
import { helperSocket } from '../../image/agent/root/helper-socket.ts';
import { keysIn } from '../../support/keys.ts';
import { signOrder } from '../../support/sign-order.ts';
import { NODE, orderOf } from '../signer/orders.ts';
import { isRoot, type NodeSshd, nodeSshd } from './sshd.ts';

const rooted = isRoot ? test.serial : test.serial.skip;
let keys: string;
let node: NodeSshd;
let helper: Awaited<ReturnType<typeof helperSocket>>;
let epoch = 0;

test.before(async () => {
  if (!isRoot) return;
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
  await takeOrder(envelope, { fleet: fleet(), run: node.run, nv: null, now: Date.now });
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

rooted('whom the order lets in sees what root shows, and the node logs who it was', async (t) => {
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

rooted('nobody gets in without an order, after it, or when its time is over', async (t) => {
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

rooted(
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
      open: (client: import('ssh2').Client, opened: import('ssh2').ClientCallback) =>
        client.exec('bootwave-rescue', opened),
    };
    await t.throwsAsync(openChannel(node.target(NODE), { entry, timeout: 20_000 }), { code: 'LINK_AUTH' });
  },
);

rooted('root judges by the order itself, also when sshd would let somebody in', async (t) => {
  const key = authority();
  await order({ incident: 3, access: access(key) });
  const line = await readFile(join(node.run, 'rescue-keys'), 'utf8');
  await order({ incident: 3 });
  const { writeFile } = await import('node:fs/promises');
  await writeFile(join(node.run, 'rescue-keys'), line);
  await t.throwsAsync(ask(t, key), { code: 'RESCUE_OVER' });
});
