/** A server with a released service that asks for secrets, and a member whose signed order names it. */
import { createPrivateKey } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import type { Verdict } from '../../../bootserver/directory.ts';
import { releaseService } from '../../../image/publish/services.ts';
import { keyLayout } from '../../../keys/layout.ts';
import { signedKey } from '../../../orchestrator/orders/sign.ts';
import { FleetSecrets } from '../../../orchestrator/secrets/give.ts';
import { SecretStore } from '../../../orchestrator/secrets/store.ts';
import type { Order } from '../../../protocol/order.ts';
import {
  type OrderEnvelope,
  orderDigest,
  readOrderKeys,
  verifyOrder,
} from '../../../protocol/order-envelope.ts';
import { server } from '../../attack/redis/server.ts';
import { manifestOf } from '../../image/agent/root/services/any-manifest.ts';
import { sha256 } from '../../image/services/oci.ts';
import { signOrder } from '../../support/sign-order.ts';
import { enrolment } from '../fleet/support.ts';

export const VALUE = 'correct-horse-battery-staple';
export const OK: Verdict = { attested: 'ok', reason: 'as published', secureBoot: true };
const DAY = 24 * 3600_000;
const by = { actor: 'operator:ann', at: 1000 };

export async function secretsOn(t: ExecutionContext) {
  const found = await server(t);
  const { paths, redis, fleet, admit } = found;
  const released = async (name: string, version: string, secrets: string[]) => {
    await mkdir(paths.bundles, { recursive: true });
    const bytes = Buffer.alloc(8192, `${name} ${version}`);
    const file = join(paths.bundles, `making ${name.replace('/', '.')}`);
    await writeFile(file, bytes);
    const custom = {
      ...{ format: 1 as const, service: name, version, rootHash: sha256(bytes), dataBytes: 4096 },
      manifest: manifestOf(secrets.length === 0 ? {} : { secrets }),
    };
    await releaseService({ file, sha256: sha256(bytes), size: bytes.length, custom }, { paths });
    return { name, version, sha256: sha256(bytes), size: bytes.length };
  };
  const shop = await released('fleet/shop', '1.4', ['db-password']);
  const other = await released('fleet/other', '1', ['db-password']);
  const store = new SecretStore(paths);
  await store.set({ service: shop.name, name: 'db-password', site: null }, Buffer.from(VALUE), by);
  await store.set({ service: other.name, name: 'db-password', site: null }, Buffer.from('of another'), by);

  const machine = enrolment(1);
  await admit(machine);
  const key = createPrivateKey(await readFile(keyLayout(paths.keys).order.key, 'utf8'));
  /** What this server's own disk says was signed last. */
  const standing = { epoch: 0, digest: '' };
  const sign = (epoch: number, services: Order['services'], node = machine.id): OrderEnvelope => {
    const now = Date.now();
    return signOrder(
      {
        ...{ format: 1, node, epoch, issuedAt: now, expires: now + DAY, mode: 'netboot' as const },
        ...{ image: null, services, config: null, wipe: false, forgiven: [] },
      },
      key,
    );
  };
  /** As a server signs it: it remembers on its disk, and leaves it for others in Redis. */
  const ordered = async (epoch: number, services: Order['services']) => {
    const envelope = sign(epoch, services);
    standing.epoch = epoch;
    standing.digest = orderDigest(Buffer.from(envelope.payload, 'base64'));
    await redis.set(signedKey(machine.id), JSON.stringify(envelope));
    return envelope;
  };
  const keys = readOrderKeys(await readFile(keyLayout(paths.keys).order.pub, 'utf8'));
  const newerThan = (epoch: number, text: string) => {
    try {
      const context = { nodeId: machine.id, now: Date.now(), last: null };
      const { order, digest } = verifyOrder(JSON.parse(text), keys, context);
      return order.epoch > epoch ? { epoch: order.epoch, digest } : null;
    } catch {
      return null;
    }
  };
  const secrets = new FleetSecrets({
    ...{ fleet, paths, store, now: Date.now },
    signer: {
      // As the signer does it: what another server left in Redis counts if it is newer and bears the fleet's key.
      async standing(_, shown = '{}') {
        const left = newerThan(standing.epoch, shown);
        return { ...(left ?? standing), wipe: null };
      },
      sign: () => Promise.reject(new Error('nothing is signed here')),
      learn: async () => {},
    },
  });
  /** @returns the value, or the code of the refusal */
  const ask = async (order: unknown, service = shop, verdict = OK, id = machine.id): Promise<string> => {
    const { size: _, ...bundled } = service;
    try {
      const { values } = await secrets.give({ id, service: bundled, verdict, order });
      return values.get('db-password')!.toString();
    } catch (error) {
      return (error as { code?: string }).code ?? String(error);
    }
  };
  return { ...found, machine, shop, other, store, sign, ordered, ask, released, secrets, key };
}
