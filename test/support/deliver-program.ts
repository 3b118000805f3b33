/** Delivers envelopes to a node as an orchestrator does, from inside a lab's network; what became of each, as JSON. */
import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { BootwaveError } from '../../base/error.ts';
import { dataPaths } from '../../base/paths.ts';
import { keyLayout } from '../../keys/layout.ts';
import { Fleet } from '../../orchestrator/fleet/fleet.ts';
import { connect } from '../../orchestrator/redis/connect.ts';
import { targetsOf } from '../../orchestrator/rollout/run/targets.ts';
import { LinkPool } from '../../orchestrator/transport/pool.ts';

const { root, id, envelopes } = JSON.parse(await text(process.stdin)) as {
  root: string;
  id: string;
  envelopes: unknown[];
};
const paths = dataPaths(root);
const { redis, close } = await connect(paths, { url: '' });
const stop = new AbortController();
const pool = new LinkPool({
  privateKey: await readFile(keyLayout(paths.keys).ssh.key, 'utf8'),
  resolve: targetsOf(new Fleet(redis)),
  signal: stop.signal,
});
const ask = { signal: stop.signal, timeout: 300_000, connectWithin: 300_000 };
const answers: unknown[] = [];
/** What the node says to it. An answer that was lost on the way is asked for again: the same order twice is one. */
async function deliver(envelope: unknown): Promise<unknown> {
  for (;;) {
    try {
      return (await pool.request(id, 'order', { envelope }, ask)).result;
    } catch (error) {
      if (!(error instanceof BootwaveError)) throw error;
      if (!error.code.startsWith('LINK_')) return { code: error.code };
    }
  }
}
for (const envelope of envelopes) answers.push(await deliver(envelope));
const { result: status } = await pool.request(id, 'status', {}, ask);
const { result: usage } = await pool.request(id, 'usage', {}, ask);
console.log(JSON.stringify({ answers, status, usage }));
stop.abort();
await pool.close();
await close();
process.exit(0);
