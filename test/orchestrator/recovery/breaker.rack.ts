/** The real server, and simulated nodes whose processes are stopped: all at once, and half of a rack. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { dataPaths } from '../../../base/paths.ts';
import { mustRun } from '../../../base/run.ts';
import { keyLayout } from '../../../keys/layout.ts';
import { simId } from '../../../lab/sim/enrolment.ts';
import { publishManifests } from '../../../lab/sim/images.ts';
import { startSimProcesses } from '../../../lab/sim/processes.ts';
import { initRehearsal } from '../../../lab/sim/rehearsal.ts';
import { withFleet } from '../../../orchestrator/operators/with-fleet.ts';

const PROGRAM = join(import.meta.dirname, '../../../bin/bootwave');
const ENV = { ...process.env, BOOTWAVE_REDIS_URL: '', BOOTWAVE_LOG: 'error' };
const MINUTE = 60_000;
const VERSION = '1.0.0';
/** Seconds between two heartbeats. */
const BEAT = 5;

/** Twelve nodes in two racks, three of them in each process, and an automation that repairs after two minutes of silence. */
async function racks(t: ExecutionContext) {
  const paths = dataPaths(await mkdtemp(join(tmpdir(), 'bw-breaker-')));
  t.teardown(() => rm(paths.root, { recursive: true, force: true }));
  const { port } = await initRehearsal(paths);
  await publishManifests(paths.images, [VERSION]);
  const bootwave = async (...args: string[]) =>
    (await mustRun(PROGRAM, ['--data', paths.root, ...args], { env: ENV, timeout: 2 * MINUTE })).stdout;

  const up = ['--data', paths.root, 'up', '--attest-every', '1440', '--heartbeat', String(BEAT), '--json'];
  const server = spawn(PROGRAM, up, { env: ENV, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(server, 'exit');
  t.teardown(async () => {
    server.kill('SIGINT');
    await ended;
  });
  await once(createInterface({ input: server.stdout }), 'line');
  const { ssh, order } = keyLayout(paths.keys);
  const sims = await startSimProcesses({
    ...{ root: paths.root, count: 12, processes: 4, port, sites: ['default'], version: VERSION },
    clientPub: await readFile(ssh.pub, 'utf8'),
    orderPub: await readFile(order.pub, 'utf8'),
    https: { keys: paths.keys, every: BEAT },
  });
  const tell = (signal: NodeJS.Signals, pids: readonly number[]) => {
    for (const pid of pids) process.kill(pid, signal);
  };
  t.teardown(async () => {
    tell('SIGCONT', sims.pids);
    await sims.close();
  });
  for (let n = 0; n < 12; n += 1) await bootwave('node', 'set', simId(n), '--rack', n < 6 ? 'r1' : 'r2');
  await bootwave('site', 'set', 'default', '--automation', 'repair', '--signal', 'silent=2');
  const incidents = () => withFleet(paths, async ({ decisions }) => decisions.incidents.all);
  /** Nodes that a command was given to. */
  const tried = async () =>
    (await incidents()).flatMap(({ node, tries }) => (tries.restart === undefined ? [] : [node]));
  const until = async (what: string, holds: () => Promise<boolean>) => {
    for (const end = performance.now() + 10 * MINUTE; !(await holds()); await sleep(1000))
      if (performance.now() > end) throw new Error(what);
  };
  return { pids: sims.pids, tell, bootwave, incidents, tried, until };
}

test('nobody is heard: nothing is begun; half of a rack fails: nobody is restarted, until a person says that it is they', async (t) => {
  t.timeout(30 * MINUTE);
  const { pids, tell, bootwave, incidents, tried, until } = await racks(t);
  const show = () => bootwave('recovery', 'show');
  const says = (what: RegExp) => until(`not said: ${what}`, async () => what.test(await show()));

  tell('SIGSTOP', pids);
  await says(/STANDS STILL: no broken node is repaired\n/);
  t.log(await show());
  // Longer than silence has to last.
  await sleep(2.5 * MINUTE);
  t.deepEqual(await tried(), []);
  tell('SIGCONT', pids);
  await until('they are not heard', async () => !/own uplink/.test(await show()));

  const half = [0, 1, 2].map(simId);
  tell('SIGSTOP', pids.slice(0, 1));
  const begun = async () => (await incidents()).map(({ node }) => node);
  await until('they have no incidents', async () => {
    const all = await begun();
    return half.every((id) => all.includes(id));
  });
  t.log(await show());
  t.regex(await show(), /no broken node is repaired, at site default\n {2}\d+ nodes have signals .* of 12 /);
  await sleep(2 * MINUTE);
  t.deepEqual(await tried(), []);
  await bootwave('recovery', 'resume', '--site', 'default', '--reason', 'a power supply of three');
  await until('nobody is restarted', async () => (await tried()).length === 3);
  t.deepEqual((await tried()).sort(), half.sort());
  tell('SIGCONT', pids);
});
