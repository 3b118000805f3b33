/** Backup and restore of a server with 10,000 nodes, beside redis-cli, tar, zstd and age by hand */

import { generateKeyPairSync } from 'node:crypto';
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { BootwaveError } from '../../base/error.ts';
import { createLogger } from '../../base/log.ts';
import { dataPaths } from '../../base/paths.ts';
import { mustRun } from '../../base/run.ts';
import { makeHostKey } from '../../image/agent/root/host-key.ts';
import { startSimFleet } from '../../lab/sim/fleet.ts';
import { fleetOf } from '../../orchestrator/backup/manifest.ts';
import { placeRecords } from '../../orchestrator/backup/records.ts';
import type { Fleet } from '../../orchestrator/fleet/fleet.ts';
import { KEYS } from '../../orchestrator/fleet/keys.ts';
import { openFleet } from '../../orchestrator/operators/bans-of.ts';
import { connect } from '../../orchestrator/redis/connect.ts';
import { redisFiles } from '../../orchestrator/redis/settings.ts';
import { signerFiles } from '../../orchestrator/signer/files.ts';
import { Ledger } from '../../orchestrator/signer/ledger.ts';
import { orderKeyId } from '../../protocol/order-envelope.ts';
import { keysIn } from '../support/keys.ts';
import { fill, linesOf, nodeOf } from './decisions/log.ts';
import { load, median } from './fleet/bed.ts';

const NODES = Number(process.env.NODES ?? 10_000);
/** Entries of the history: Redis keeps up to 250,000. */
const AUDIT = Number(process.env.AUDIT ?? 50_000);
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 3);
const PROGRAM = join(import.meta.dirname, '../../bin/bootwave');

const home = await mkdtemp(join(tmpdir(), 'bw-bench-'));
const paths = dataPaths(join(home, 'd'));
const { redis, close } = await connect(paths, { url: '' });
try {
  await keysIn(paths.keys);
  await fill(paths, redis, linesOf(NODES, 2 * NODES));
  const { fleet, bans } = await openFleet(paths, redis, createLogger('bench', 'silent'));
  await furnish(fleet);
  // As a server that runs has done.
  await bans.keepSnapshot();
  const key = join(home, 'key');
  await mustRun('age-keygen', ['-o', key]);
  const pub = join(home, 'pub');
  await writeFile(pub, (await mustRun('age-keygen', ['-y', key])).stdout);
  const number = await fleetOf(paths.keys);
  const times = { backup: [] as Spent[], byHand: [] as Spent[], restore: [] as Spent[], back: [] as Spent[] };
  const [ours, theirs] = [join(home, 'ours.age'), join(home, 'theirs.age')];
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const file of [ours, theirs, join(home, 'dump.rdb')]) await rm(file, { force: true });
    times.backup.push(await spent(`${PROGRAM} --data ${paths.root} backup --to ${ours} --recipients ${pub}`));
    times.byHand.push(
      await spent(
        `redis-cli -s ${redisFiles(paths.redis).socket} --rdb ${home}/dump.rdb >/dev/null && tar -C ${home} --exclude d/redis -c dump.rdb d | zstd -q -1 | age -R ${pub} > ${theirs}`,
      ),
    );
    const [mine, other] = [join(home, 'mine'), join(home, 'other')];
    times.restore.push(
      await spent(`${PROGRAM} --data ${mine} restore ${ours} --key ${key} --fleet ${number}`),
    );
    await mkdir(other);
    const unpacked = await spent(`age -d -i ${key} ${theirs} | zstd -q -d | tar -C ${other} -x`);
    times.back.push(add(unpacked, await loaded(join(other, 'd'), join(other, 'dump.rdb'))));
    for (const folder of [mine, other]) await rm(folder, { recursive: true });
  }
  const size = async (file: string) => `${((await stat(file)).size / 1e6).toFixed(1)} MB`;
  console.log(
    `  ${NODES} nodes, ${AUDIT} entries of history: ours ${await size(ours)}, by hand ${await size(theirs)}; ${load()}`,
  );
  say('backup', times.backup, times.byHand);
  say('restore', times.restore, times.back);
} finally {
  await close();
  await rm(home, { recursive: true, force: true });
}

/** Seconds. */
type Spent = { wall: number; cpu: number };

/** Of the command and all that it starts and waits for. */
async function spent(command: string): Promise<Spent> {
  const script = `set -o pipefail; TIMEFORMAT='%R %U %S'; time { ${command}; } >/dev/null`;
  const { stderr } = await mustRun('bash', ['-c', script], {
    env: { ...process.env, BOOTWAVE_REDIS_URL: '' },
  });
  const [wall = 0, user = 0, system = 0] = stderr.trim().split('\n').at(-1)!.split(' ').map(Number);
  return { wall, cpu: user + system };
}

/** What a person does then: the dump to its place, and a Redis on it. */
async function loaded(root: string, dump: string): Promise<Spent> {
  const began = performance.now();
  await placeRecords(redisFiles(dataPaths(root).redis).dir, dump);
  const there = await connect(dataPaths(root), { url: '' });
  const nodes = await there.redis.scard(KEYS.nodes);
  if (nodes !== NODES) throw new BootwaveError({ code: 'BENCH_LOST', what: `${nodes} nodes came back` });
  await there.close();
  return { wall: (performance.now() - began) / 1000, cpu: 0 };
}

function add(a: Spent, b: Spent): Spent {
  return { wall: a.wall + b.wall, cpu: a.cpu + b.cpu };
}

function say(what: string, ours: readonly Spent[], theirs: readonly Spent[]): void {
  const of = (all: readonly Spent[], which: keyof Spent) => median(all.map((one) => one[which]));
  const [mine, hand] = [of(ours, 'wall'), of(theirs, 'wall')];
  console.log(`  ${what}: CPU ${of(ours, 'cpu').toFixed(2)} s, by hand ${of(theirs, 'cpu').toFixed(2)} s`);
  console.log(
    `bench backup ${what} ${mine.toFixed(2)} s vs by hand ${hand.toFixed(2)} s ratio ${(mine / hand).toFixed(2)}`,
  );
}

async function furnish(fleet: Fleet): Promise<void> {
  const stop = new AbortController();
  const { publicKey } = generateKeyPairSync('ed25519');
  const sim = await startSimFleet({
    ...{ fleet, count: 1, sites: ['default'], version: '1.0', clientPub: makeHostKey().line },
    ...{ orderKeys: new Map([[orderKeyId(publicKey), publicKey]]), signal: stop.signal },
  });
  const [id = ''] = await fleet.nodes.ids();
  const record = (await fleet.nodes.get(id))!;
  stop.abort();
  await sim.close();
  const at = Date.now();
  for (let n = 0; n < NODES; n += 1) {
    const own = { ...record, id: nodeOf(n), name: `web${n}`, site: `site${n % 100}`, state: 'healthy' };
    redis.hset(KEYS.node(own.id), { state: own.state, epoch: own.epoch, body: JSON.stringify(own) });
    redis.sadd(KEYS.nodes, own.id);
    await redis.zadd(KEYS.seen, at, own.id);
  }
  await redis.srem(KEYS.nodes, id);
  for (let n = 0; n < AUDIT; n += 100)
    await fleet.audit.append(
      ...Array.from({ length: 100 }, (_, i) => ({
        ...{
          at,
          actor: 'node',
          node: nodeOf((n + i) % NODES),
          action: 'heartbeat',
          from: 'updating',
          to: 'healthy',
        },
        reason: 'the image runs, measured as published, and stayed healthy',
      })),
    );
  const { ledger: path } = signerFiles(paths);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const ledger = await Ledger.open(path, at);
  const signed = { epoch: 4, digest: 'a'.repeat(64), at, image: '1.4.0', floor: null, wipe: null };
  await Promise.all(Array.from({ length: NODES }, (_, n) => ledger.append({ node: nodeOf(n), ...signed })));
  await ledger.close();
}
