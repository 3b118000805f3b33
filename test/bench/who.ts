/** What it takes to answer who has sent something, and the bytes of a month of it (goal: 2 s for 1,000 nodes, 200 flows an hour each) */
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { findSenders } from '../../orchestrator/flows/find.ts';
import { type Line, lineOf } from '../../orchestrator/flows/line.ts';
import { FlowStore } from '../../orchestrator/flows/store.ts';
import type { Flow } from '../../protocol/link/flows.ts';
import { load } from './fleet/bed.ts';

const NODES = Number(process.env.NODES ?? 100);
const DAYS = Number(process.env.DAYS ?? 30);
const AN_HOUR = Number(process.env.FLOWS ?? 200);
/** Nodes whose flows a database gets, too: its index makes all of them the same to it. */
const PEERS = Math.min(NODES, Number(process.env.PEERS ?? 5));
const GOAL = 2_000;

const DAY = 24 * 3600_000;
const ANSWERS = 288;
const NOW = Math.floor(Date.now() / DAY) * DAY + DAY / 2;
const SERVICES = ['fleet/chrony', 'fleet/unbound', 'web/shop', 'lab/crawler'];
const idOf = (n: number) => `tpm-${n.toString(16).padStart(64, '0')}`;

let seed = 1;
/** From 0 up to `below`. */
function random(below: number): number {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((seed / 2 ** 32) * below);
}

function flowOf(at: number): Flow {
  const packets = 1 + random(2000);
  const from = at - 300_000 + random(200_000);
  return {
    ...{ of: random(SERVICES.length), way: random(4) === 0 ? 'answered' : 'sent', protocol: 'tcp' },
    to: `${1 + random(223)}.${random(256)}.${random(256)}.${random(256)}`,
    ...{ port: [443, 53, 123, 80, 8443][random(5)]!, packets, bytes: packets * (60 + random(1200)) },
    ...{ from, until: from + random(100_000) },
  };
}

/** A node's day, as a server hears it. */
function* dayOf(day: number): Generator<Line> {
  const hour = { hour: 0, kept: new Map<string, number>() };
  for (let i = 1; i <= ANSWERS; i += 1) {
    const at = i * 300_000;
    const many = Math.round((AN_HOUR * 24 * i) / ANSWERS) - Math.round((AN_HOUR * 24 * (i - 1)) / ANSWERS);
    const instances = SERVICES.map((name) => ({ name, version: '1.4.2' }));
    const flows = Array.from({ length: many }, () => flowOf(at));
    const answer = {
      life: '0e9f5d3e-6a9b-4a2b-8c3a-1d2e3f405162',
      number: i,
      from: at - 300_000,
      until: at,
      at,
    };
    yield lineOf({ ...answer, more: false, instances, flows }, day + at, hour);
  }
}

const root = await mkdtemp(join(tmpdir(), 'bw-bench-'));
try {
  await bench();
} finally {
  await rm(root, { recursive: true, force: true });
}

async function bench(): Promise<void> {
  const folder = join(root, 'flows');
  const store = new FlowStore(folder);
  const database = new DatabaseSync(join(root, 'peer.sqlite'));
  database.exec('PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF');
  database.exec(
    'CREATE TABLE flow (node INT, service TEXT, too TEXT, port INT, packets INT, bytes INT, since INT, until INT)',
  );
  const insert = database.prepare('INSERT INTO flow VALUES (?, ?, ?, ?, ?, ?, ?, ?)');
  const began = performance.now();
  let plain = 0;
  for (let d = DAYS; d >= 1; d -= 1) {
    const day = Math.floor(NOW / DAY) * DAY - d * DAY;
    const at = join(folder, new Date(day).toISOString().slice(0, 10));
    await mkdir(at, { recursive: true });
    for (let node = 0; node < NODES; node += 1) {
      const lines = [...dayOf(day)];
      const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
      plain += text.length;
      await writeFile(join(at, `${idOf(node)}.jsonl`), text);
      if (node >= PEERS) continue;
      database.exec('BEGIN');
      for (const { heard, flows, instances } of lines)
        for (const [of, , to, , port, packets, bytes, since, last] of flows)
          insert.run(
            node,
            instances[of]![0],
            to,
            port,
            packets,
            bytes,
            heard - since * 1000,
            heard - last * 1000,
          );
      database.exec('COMMIT');
    }
    await store.tidy(NOW, new AbortController().signal);
  }
  console.log(
    `  ${NODES} nodes, ${DAYS} days, ${AN_HOUR} flows a node and hour, ${load()}; made in ${((performance.now() - began) / 1000).toFixed(0)} s`,
  );
  const bytes = await sizeOf(folder);
  const per = bytes / (NODES * DAYS);
  console.log(
    `  kept: ${(bytes / 1e6).toFixed(0)} MB (${(plain / 1e6).toFixed(0)} MB before), ${(per / 1e3).toFixed(1)} kB a node and day, ${(bytes / (NODES * DAYS * 24 * AN_HOUR)).toFixed(1)} bytes a flow; of 1,000 nodes in 30 days ${((per * 30_000) / 1e9).toFixed(2)} GB`,
  );

  const node = Math.min(PEERS - 1, 3);
  const at = Math.floor(NOW / DAY) * DAY - Math.ceil(DAYS / 2) * DAY + DAY / 3;
  const there = (await store.read(idOf(node), at, at, NOW)).find(({ until }) => until > at)!;
  const [, , to, , port] = there.flows[0]!;
  const ask = async (from: number, until: number) =>
    findSenders(await store.read(idOf(node), from, until, NOW), { from, until, to, port: port! }, NOW);
  const minutes = await times('who, ten minutes', () => ask(at - 600_000, at + 600_000));
  const month = await times('who, 30 days', () => ask(NOW - 30 * DAY, NOW));

  database.exec('CREATE INDEX by_node ON flow (node, too, until)');
  database.close();
  const peer = new DatabaseSync(join(root, 'peer.sqlite'));
  const query = peer.prepare(
    'SELECT service, port, sum(packets), sum(bytes) FROM flow WHERE node = ? AND too = ? AND until >= ? AND since <= ? GROUP BY service, port',
  );
  await times('SQLite with an index, the same ten minutes', async () =>
    query.all(node, to, at - 600_000, at + 600_000),
  );
  await times('SQLite, 30 days', async () => query.all(node, to, NOW - 30 * DAY, NOW));
  peer.close();
  const rows = PEERS * DAYS * 24 * AN_HOUR;
  console.log(
    `  SQLite keeps ${((await stat(join(root, 'peer.sqlite'))).size / rows).toFixed(1)} bytes a flow`,
  );
  const files = (await readdir(folder)).map((day) => join(folder, day, `${idOf(node)}.jsonl.zst`));
  if (spawnSync('zstd', ['--version']).status === 0)
    await times('zstd and grep, 30 days', async () =>
      spawnSync('sh', ['-c', `zstd -dcq "$@" | grep -c '"${to}"'`, '-', ...files]),
    );
  if (minutes > GOAL || month > GOAL) process.exitCode = 1;
}

/** The slowest of five. */
async function times(name: string, work: () => Promise<unknown>): Promise<number> {
  const taken: number[] = [];
  const before = process.cpuUsage();
  for (let i = 0; i < 5; i += 1) {
    const began = performance.now();
    await work();
    taken.push(performance.now() - began);
  }
  const sorted = taken.toSorted((a, b) => a - b);
  const { user, system } = process.cpuUsage(before);
  console.log(
    `  ${name}: ${sorted[2]!.toFixed(1)} ms, the slowest of five ${sorted[4]!.toFixed(1)} ms, ${((user + system) / 5000).toFixed(1)} ms of CPU each`,
  );
  return sorted[4]!;
}

async function sizeOf(folder: string): Promise<number> {
  let bytes = 0;
  for (const day of await readdir(folder))
    for (const name of await readdir(join(folder, day))) bytes += (await stat(join(folder, day, name))).size;
  return bytes;
}
