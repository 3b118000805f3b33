import { generateKeyPairSync, hash } from 'node:crypto';
import { cp } from 'node:fs/promises';
import type { ExecutionContext } from 'ava';
import { releaseService } from '../../../image/publish/services.ts';
import type { RolloutDecision } from '../../../orchestrator/fleet/decisions/rollouts.ts';
import { openFleet } from '../../../orchestrator/operators/bans-of.ts';
import { sign } from '../../../orchestrator/orders/sign.ts';
import type { OrderedService } from '../../../protocol/order.ts';
import { by, server } from '../../attack/redis/server.ts';
import { bundle } from '../../image/publish/bundle.ts';
import { realSigner } from '../../support/real-signer.ts';
import { silent, temporaryData } from '../fleet/support.ts';
import { FACTS, orderOf } from '../signer/orders.ts';

export const CONFIGS = { a: 'a'.repeat(64), b: 'b'.repeat(64), c: 'c'.repeat(64) };
const IMAGES = { '1.0': FACTS, '2.0': FACTS, '9.0': FACTS };

/** Two servers of one fleet, each with its own disk and signer, on one Redis. */
export async function servers(t: ExecutionContext) {
  const { redis, paths, fleet } = await server(t);
  const { privateKey } = generateKeyPairSync('ed25519');
  const at = async (where: typeof paths, connection: typeof redis) => {
    const signer = await realSigner(where, privateKey, IMAGES);
    t.teardown(signer.close);
    for (const [version, sha256] of Object.entries(CONFIGS)) await signer.knows({ version, sha256 });
    const ask = async (epoch: number, version: string, more: object = {}) => {
      const order = orderOf({ epoch, image: { version, ...FACTS }, ...more }, Date.now());
      return sign(connection, signer.client, order).then(
        () => 'signed',
        ({ code }: { code?: string }) => code,
      );
    };
    return Object.assign(ask, { signer: signer.client });
  };
  for (const version of ['1', '2']) await releaseService(await bundle(paths, 'fleet/x', version), { paths });
  const other = await temporaryData(t);
  await cp(paths.keys, other.keys, { recursive: true });
  await cp(paths.releases, other.releases, { recursive: true, verbatimSymlinks: true });
  const connection = redis.duplicate();
  t.teardown(() => connection.disconnect());
  const { bans } = await openFleet(other, connection, silent);
  const said = (id: string, state: RolloutDecision['state'], more: Partial<RolloutDecision>) => {
    const versions = { on: ['2.0'], from: ['1.0'], joins: [] };
    const common = { opened: true, of: 'image' as const, setup: '', approvals: [] };
    const decision = { state, ...common, ...versions, ...more };
    return fleet.decisions.commit({ records: [] }, [fleet.decisions.rollout(id, decision, by, 'test')]);
  };
  const decide = (state: RolloutDecision['state']) => said('ro-1', state, {});
  /** A rollout of this configuration. */
  const configure = async (
    to: keyof typeof CONFIGS,
    state: RolloutDecision['state'],
    from: string[] = [],
  ) => {
    await said(`ro-${to}`, state, { of: 'config', on: [to], from });
    await bans.look();
  };
  const serve = async (
    on: string,
    services: readonly OrderedService[],
    state: RolloutDecision['state'],
    from: string[] = [],
  ) => {
    const brought = services.map(({ name, ...bundle }) => ({ name, bundle }));
    await said(`ro-${on}`, state, { of: 'service', on: [on], services: brought, from });
    await bans.look();
  };
  const [x1, x2] = ['1', '2'].map((version) => {
    const bytes = Buffer.alloc(8192, `fleet/x ${version}`);
    return { name: 'fleet/x', version, sha256: hash('sha256', bytes), size: bytes.length };
  }) as [OrderedService, OrderedService];
  return {
    redis,
    fleet,
    key: privateKey,
    decide,
    configure,
    serve,
    x1,
    x2,
    one: await at(paths, redis),
    two: await at(other, connection),
  };
}
