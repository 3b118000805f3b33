/** CPU of a server's start on the decisions of 10,000 members and 20,000 changes, beside reading all (goal: 1 s) */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '../../base/log.ts';
import { dataPaths } from '../../base/paths.ts';
import { journalFile } from '../../orchestrator/fleet/decisions/journal.ts';
import { snapshotFile } from '../../orchestrator/fleet/decisions/snapshot.ts';
import { KEYS } from '../../orchestrator/fleet/keys.ts';
import { openFleet } from '../../orchestrator/operators/bans-of.ts';
import { connect } from '../../orchestrator/redis/connect.ts';
import { DecisionsHere } from '../../orchestrator/signer/decisions.ts';
import { keysIn } from '../support/keys.ts';
import { fill, linesOf } from './decisions/log.ts';
import { load, median } from './fleet/bed.ts';

const MEMBERS = Number(process.env.NODES ?? 10_000);
const CHANGES = Number(process.env.CHANGES ?? 20_000);
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5);
const GOAL = 1_000;

/**
 * Milliseconds. `start`: until a server believes what was decided, `cpu` of which it worked; `rest`: until it has compared all of
 * Redis afterwards.
 */
type Times = { start: number; cpu: number; signer: number; rest: number };

const [, program = '', root] = process.argv;
if (root === undefined) await measure();
else await start(root);

/** In a process of its own: the first time is what counts. */
async function start(root: string): Promise<void> {
  const paths = dataPaths(root);
  const log = createLogger('bench', 'silent');
  const { redis, close } = await connect(paths, { url: '' });
  const began = performance.now();
  const work = process.cpuUsage();
  const { bans } = await openFleet(paths, redis, log);
  const opened = performance.now();
  const { user, system } = process.cpuUsage(work);
  await new DecisionsHere(journalFile(paths)).current();
  const signed = performance.now();
  await bans.compare(new AbortController().signal);
  const rest = performance.now() - signed;
  await bans.keepSnapshot();
  const times: Times = { start: opened - began, cpu: (user + system) / 1000, signer: signed - opened, rest };
  console.log(JSON.stringify(times));
  await close();
}

async function measure(): Promise<void> {
  const paths = dataPaths(await mkdtemp(join(tmpdir(), 'bw-bench-')));
  const { redis, close } = await connect(paths, { url: '' });
  try {
    await keysIn(paths.keys);
    const lines = linesOf(MEMBERS, CHANGES);
    await fill(paths, redis, lines);
    const [{ size }, memory] = [
      await stat(journalFile(paths)),
      Number(await redis.call('MEMORY', 'USAGE', KEYS.bans, 'SAMPLES', '0')),
    ];
    const each = (bytes: number) => `${Math.round(bytes / lines.length)} bytes`;
    console.log(`${lines.length} lines; a line takes ${each(size)} on the disk, ${each(memory)} of Redis`);
    const whole = await rounds(paths.root, () => rm(snapshotFile(journalFile(paths)), { force: true }));
    const ours = await rounds(paths.root, async () => {});
    const kept = (await stat(snapshotFile(journalFile(paths)))).size;
    console.log(`the snapshot has ${(kept / 1e6).toFixed(1)} MB of ${(size / 1e6).toFixed(1)} MB`);
    console.log(
      `bench decisions ${(ours / 1000).toFixed(2)} s CPU vs reading all ${(whole / 1000).toFixed(2)} s ratio ${(ours / whole).toFixed(2)}`,
    );
    if (ours > GOAL) process.exitCode = 1;
  } finally {
    await close();
    await rm(paths.root, { recursive: true, force: true });
  }
}

async function rounds(root: string, before: () => Promise<void>): Promise<number> {
  const works: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    await before();
    const flags = ['--disable-warning=ExperimentalWarning', program, root];
    const { stdout, stderr } = spawnSync(process.execPath, flags, { encoding: 'utf8' });
    if (stdout === '') throw new Error(stderr);
    const { start, cpu, signer, rest } = JSON.parse(stdout) as Times;
    works.push(cpu);
    const ms = (time: number) => `${Math.round(time)} ms`;
    console.log(
      `  start ${ms(start)}, CPU ${ms(cpu)}, its signer ${ms(signer)}, the rest of Redis ${ms(rest)}, ${load()}`,
    );
  }
  return median(works);
}
