/** Commands in a real instance: link handlers of the agent, its socket to root, root's program, crun. Only systemd is not there. */
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { Execs } from '../../../../../../image/agent/member/execs.ts';
import { type ExecPlaces, runGranted } from '../../../../../../image/agent/root/services/exec/run.ts';
import type { ExecEnd } from '../../../../../../protocol/agent/exec.ts';
import { ChunkDecoder, encodeChunks } from '../../../../../../protocol/chunks.ts';
import { type Grant, makeGrant } from '../../../../../../protocol/grant.ts';
import type { Order, Restraint } from '../../../../../../protocol/order.ts';
import { type OrderPublicKeys, orderKeyId } from '../../../../../../protocol/order-envelope.ts';
import { manifestOf } from '../any-manifest.ts';
import { box } from '../box.ts';
import { makeBundle, scratch } from '../bundles.ts';
import { systemd } from './systemd.ts';

export const NODE = `tpm-${'a'.repeat(64)}`;
export const SHOP = 'fleet/shop@probe';
const ASKER = 'bootwave-exec@0-1-0.service';

export async function commands(t: ExecutionContext) {
  const bundle = await makeBundle(await scratch(t));
  const node = await box(t);
  const manifest = manifestOf({
    command: ['/bin/sh', '-c', 'sleep 1000'],
    env: { PATH: '/bin', MINE: 'yes' },
  });
  const shop = await node.start(SHOP, 7, bundle, manifest);
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const keyId = orderKeyId(publicKey);
  const world = {
    ...{ services: [SHOP], restraints: [] as Restraint[], now: Date.now(), bootedAt: 0 },
    /** Whose grants this node takes, and which node it is. */
    keys: new Map([[keyId, publicKey]]) as OrderPublicKeys,
    nodeId: NODE,
  };
  const units = systemd(node.places.units, node.within());
  const places: ExecPlaces = {
    ...{ run: node.places.run, units: node.places.units },
    ...{ used: join(node.folder, 'used'), execs: join(node.folder, 'execs') },
    heldAgainst: async () => world,
    order: async () =>
      ({
        services: world.services.map((name) => ({ name })),
        restraints: world.restraints,
      }) as unknown as Order,
    systemctl: units.systemctl,
    now: () => world.now,
    bootedAt: () => world.bootedAt,
  };
  const path = join(node.folder, 'exec.sock');
  const door = createServer((socket) => void runGranted(socket, ASKER, places));
  await once(door.listen(path), 'listening');
  t.teardown(() => door.close());
  const execs = new Execs(path, { patience: 500, unasked: 2000 });
  const grant = (command: string[], more: Partial<Grant> = {}, key = privateKey) => {
    const at = world.now;
    return makeGrant(
      {
        ...{ format: 1, node: NODE, instance: SHOP, command, by: 'operator:eve' },
        ...{ nonce: randomBytes(32).toString('hex'), issuedAt: at, expires: at + 60_000, ...more },
      },
      keyId,
      (bytes) => sign(null, bytes, key),
    );
  };
  const never = { signal: new AbortController().signal, progress: () => {} };
  const begin = async (envelope: unknown, context = never) => {
    const { session } = await execs.handlers.exec({ grant: envelope, slice: 'probe' }, context);
    const decoder = new ChunkDecoder();
    const got = { out: '', err: '', end: null as ExecEnd | null };
    return {
      got,
      write: async (bytes: Buffer) =>
        execs.handlers['exec-write'](
          { session, bytes: encodeChunks('in', bytes).toString('base64') },
          context,
        ),
      /** @returns whether it goes on */
      async read(): Promise<boolean> {
        const { bytes, ended } = await execs.handlers['exec-read']({ session }, context);
        for (const { stream, bytes: piece } of decoder.push(Buffer.from(bytes, 'base64'))) {
          if (stream === 'out' || stream === 'err') got[stream] += piece.toString();
          if (stream === 'end') got.end = JSON.parse(piece.toString());
        }
        return !ended;
      },
      async rest() {
        while (await this.read());
        return got;
      },
    };
  };
  return { node, shop, world, units, places, grant, begin, execs };
}
