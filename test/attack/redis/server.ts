/** A server on a real Redis with the keys of a fleet, and somebody beside it with every right over that Redis. */
import type { ExecutionContext } from 'ava';
import type { Redis } from 'ioredis';
import { createLogger } from '../../../base/log.ts';
import { beginDecisions } from '../../../orchestrator/fleet/decisions/confirm.ts';
import { FleetDirectory } from '../../../orchestrator/fleet/directory.ts';
import type { Fleet } from '../../../orchestrator/fleet/fleet.ts';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import type { NodeRecord } from '../../../orchestrator/fleet/record.ts';
import { openFleet } from '../../../orchestrator/operators/bans-of.ts';
import type { Enrolment } from '../../../protocol/enrolment/enrolment.ts';
import {
  anyImage,
  certificateFor,
  pcr11,
  redisFor,
  START,
  silent,
} from '../../orchestrator/fleet/support.ts';
import { keysIn } from '../../support/keys.ts';

export const by = { actor: 'operator:ann', at: START };

export const directoryOf = (fleet: Fleet, site = 'default') =>
  new FleetDirectory({
    ...anyImage,
    ...{ fleet, site, pcr11, log: silent },
    defaultImage: async () => '1.0',
    now: () => START,
  });

export async function server(t: ExecutionContext) {
  const { redis, paths, close } = await redisFor(t);
  await keysIn(paths.keys);
  const written: string[] = [];
  const log = createLogger('test', 'warn', { write: (line: string) => void written.push(line) } as never);
  /** Another server of the fleet, or this one after a restart. */
  const open = async () => {
    const { fleet, bans } = await openFleet(paths, redis, log);
    const begun = await beginDecisions(fleet, log, { actor: 'bootserver', at: 1 });
    const at = (site: string) => directoryOf(fleet, site);
    return { fleet, bans, begun, at, directory: at('default') };
  };
  const { fleet, bans, at, directory } = await open();
  /** Through the real door: it shows its keys, a person approves it, it gets its certificate. */
  const admit = async (one: Enrolment) => {
    await directory.enrol(one);
    await fleet.approve(one.id, one.words, by);
    await directory.recordCertificate(one.id, certificateFor(one));
  };
  /** What a machine is told that asks whether it was let in, and whether a certificate for it is recorded. */
  const asks = async (one: Enrolment, of = directory) => {
    const { state } = await of.decisionOf(one.id, one.spkiDigest);
    const gets = await of.recordCertificate(one.id, certificateFor(one, 'ab12')).then(
      () => true,
      () => false,
    );
    return gets ? `${state}, with a certificate` : state;
  };
  return { redis, close, paths, fleet, bans, at, directory, open, admit, asks, written };
}

type Body = { [field: string]: unknown; policy?: object; values?: object[] };

/** Every copy of a state and an epoch that a record has, so that it looks as if a server had written it. */
export async function rewrite<T = Body>(
  redis: Redis,
  key: string,
  change: (body: T) => object,
): Promise<void> {
  const body = change(JSON.parse((await redis.hget(key, 'body')) ?? '{}')) as Body;
  const { state, epoch } = body;
  await redis.hset(key, { body: JSON.stringify(body), state: String(state), epoch: String(epoch) });
}

export const rewriteNode = (redis: Redis, id: string, change: (record: NodeRecord) => Partial<NodeRecord>) =>
  rewrite<NodeRecord>(redis, KEYS.node(id), (record) => ({ ...record, ...change(record) }));
