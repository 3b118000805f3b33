/** An orchestrator in a process of its own, for tests that kill it. Keys come on standard input, never in arguments. */
import { text } from 'node:stream/consumers';
import { createLogger } from '../../../../base/log.ts';
import { dataPaths } from '../../../../base/paths.ts';
import { Fleet } from '../../../../orchestrator/fleet/fleet.ts';
import { connect } from '../../../../orchestrator/redis/connect.ts';
import { startRollouts } from '../../../../orchestrator/rollout/run/start.ts';
import { targetsOf } from '../../../../orchestrator/rollout/run/targets.ts';
import { SignerClient } from '../../../../orchestrator/signer/client.ts';
import { LinkPool } from '../../../../orchestrator/transport/pool.ts';
import { POOL, TIMES } from './times.ts';

const {
  root,
  port,
  clientKey,
  signer: socket,
} = JSON.parse(await text(process.stdin)) as Record<string, string>;
const paths = dataPaths(root);
const { redis } = await connect(paths, { url: '' });
const fleet = new Fleet(redis);
const { signal } = new AbortController();
const pool = new LinkPool({
  privateKey: clientKey ?? '',
  resolve: targetsOf(fleet, Number(port)),
  limits: POOL,
  signal,
});
const log = createLogger('test', 'silent');
const signer = new SignerClient(socket ?? '');
startRollouts({ paths, redis, fleet, pool, signer, log, signal, times: TIMES });
console.log('ready');
