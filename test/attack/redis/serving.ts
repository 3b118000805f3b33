import { generateKeyPairSync } from 'node:crypto';
import type { ExecutionContext } from 'ava';
import { releaseService } from '../../../image/publish/services.ts';
import type { RolloutDecision } from '../../../orchestrator/fleet/decisions/rollouts.ts';
import { sign } from '../../../orchestrator/orders/sign.ts';
import type { Order } from '../../../protocol/order.ts';
import { serviceOf } from '../../../protocol/service/name.ts';
import { bundle } from '../../image/publish/bundle.ts';
import { enrolment } from '../../orchestrator/fleet/support.ts';
import { FACTS, orderOf } from '../../orchestrator/signer/orders.ts';
import { realSigner } from '../../support/real-signer.ts';
import { by, server } from './server.ts';

export const NODE = enrolment(1).id;

/** A node that runs this instance, and the orders that are signed for it. */
export async function serving(t: ExecutionContext, instance: string) {
  const world = await server(t);
  const { redis, paths, admit, fleet } = world;
  const signer = await realSigner(paths, generateKeyPairSync('ed25519').privateKey, { '2.0': FACTS });
  t.teardown(signer.close);
  await admit(enrolment(1));
  const made = await bundle(paths, serviceOf(instance), '1');
  await releaseService(made, { paths });
  const { sha256, size } = made;
  const service = { name: instance, version: '1', sha256, size };
  const decision: RolloutDecision = {
    ...{ state: 'open', opened: true, of: 'service', approvals: [], setup: '', from: [], joins: [] },
    on: [`${instance}:1`],
    services: [{ name: instance, bundle: { version: '1', sha256, size } }],
  };
  await fleet.decisions.commit({ records: [] }, [fleet.decisions.rollout('ro-1', decision, by, 'test')]);
  let epoch = 0;
  const signed = async (asked: Partial<Order> = {}, node = NODE): Promise<Order> => {
    epoch += 1;
    const order = orderOf({ node, epoch, image: null, services: [service], ...asked }, Date.now());
    const { payload } = await sign(redis, signer.client, order);
    return JSON.parse(Buffer.from(payload, 'base64').toString('utf8')) as Order;
  };
  return { ...world, signer, signed, services: [service] };
}
