/** What nodes cost that have their file and wait for a window, NODES=1000 of them, for SECONDS=90. */
import { setTimeout as sleep } from 'node:timers/promises';
import { readProgress } from '../../orchestrator/rollout/run/stored.ts';
import { Bed, load } from './fleet/bed.ts';

const NODES = Number(process.env.NODES ?? 1000);
const SECONDS = Number(process.env.SECONDS ?? 90);

/** The hour that begins three hours from now, every day. */
function later() {
  const [from, to] = [3, 4].map((hours) =>
    new Date(Date.now() + hours * 3_600_000).toISOString().slice(11, 16),
  );
  return [{ zone: 'UTC', from, to }];
}

const bed = await Bed.make({ count: NODES, times: { stage: 1, restart: 100 } });
try {
  const { redis } = bed.fleet;
  const orchestrator = await bed.orchestrator();
  const id = await bed.plan({
    ...{ staging: 'ahead', windows: later(), limits: { whole: '100%', site: '100%' } },
    ...{ bake: { node: '0s', wave: '0s' }, waves: [{ take: 1, windows: [] }, { take: 'rest' }] },
  });
  await bed.go(id);
  const staged = async () => (await readProgress(redis, id)).waves[1]?.counts.staged ?? 0;
  while ((await staged()) < NODES - 1) await sleep(500);
  // The first question to each is over.
  await sleep(30_000);
  const look = async () => {
    const writes = Number(/^cmdstat_hset:calls=(\d+)/m.exec(await redis.info('commandstats'))?.[1] ?? 0);
    return { writes, own: await bed.usage(orchestrator), redis: (await bed.redis()).cpu };
  };
  const before = await look();
  await sleep(SECONDS * 1000);
  const after = await look();
  const each = (a: number, b: number) => Math.round(((b - a) * 60) / SECONDS);
  console.log(
    [
      `${NODES} nodes with their file, ${load()}, a minute: ${each(before.own.asked, after.own.asked)} questions`,
      `${each(before.writes, after.writes)} records written`,
      `${each(before.own.cpu, after.own.cpu)} ms CPU of the orchestrator, ${each(before.redis, after.redis)} ms of Redis`,
    ].join(', '),
  );
} finally {
  await bed.close();
}
