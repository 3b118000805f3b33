/** A rollout that ran when the backup was made, and was ended since because its image was bad. Real nodes' links, real signer. */
import test from 'ava';
import { dataPaths } from '../../../base/paths.ts';
import { operate } from '../../../orchestrator/rollout/run/operate.ts';
import { readState } from '../../../orchestrator/rollout/run/stored.ts';
import { SignerClient } from '../../../orchestrator/signer/client.ts';
import { signerFiles } from '../../../orchestrator/signer/files.ts';
import { SIGNER_LIMITS } from '../../../orchestrator/signer/judge.ts';
import { serveSigner } from '../../../orchestrator/signer/serve.ts';
import { silent } from '../fleet/support.ts';
import { benchFor } from '../rollout/run/support.ts';
import { backupsOf, opened } from './support.ts';

test('it stands still until a person has looked, and what nodes are ordered next is above all that they were ordered', async (t) => {
  const bench = await benchFor(t, { count: 4, decides: 'all' });
  const { backup, restored } = await backupsOf(t, { paths: dataPaths(bench.root), fleet: bench.fleet });
  const orchestrator = bench.orchestrator();
  const gates = [{ kind: 'pcr11' }, { kind: 'manual' }];
  const id = await bench.start({ waves: [{ name: 'canary', take: 2, gates }, { take: 'rest' }] });
  await bench.until(id, ({ waves }) => waves[0]?.state === 'gated');
  const { file } = await backup();
  // After the backup it goes on: the nodes have orders that the backup does not know.
  await operate(bench.redis, id, { type: 'approve', by: 'operator:ann', wave: 0 });
  const end = await bench.until(id, ({ rollout }) => rollout.endedAt !== null);
  t.is(end.rollout.state, 'done', end.rollout.why);
  await orchestrator.stop();
  const ordered = [...end.nodes.values()].map(({ node, epoch }) => ({ node, epoch }));

  const { paths, told } = await restored(file);
  t.deepEqual(told.paused, [id]);
  const { redis, close } = await opened(t, paths);
  const { rollout } = await readState(redis, id);
  t.like(rollout, { state: 'paused', held: null });
  t.regex(rollout.why, /a backup of .* was restored: it may have ended since/);
  await close();
  const stop = new AbortController();
  const { done } = await serveSigner({ paths, limits: SIGNER_LIMITS, log: silent, signal: stop.signal });
  const client = new SignerClient(signerFiles(paths).socket);
  const known = await Promise.all(ordered.map(({ node }) => client.standing(node)));
  client.close();
  stop.abort();
  await done;
  const before = known.filter(({ epoch }) => epoch > 0);
  t.true(before.length >= 2, 'those of the canary');
  for (const [i, { epoch }] of known.entries()) if (epoch > 0) t.true(epoch > ordered[i]!.epoch);
});
