/** CPU of one command: `bootwave --help`, `node list` of a running server, git --version, etcdctl; `cli.ts 1000` nodes */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { createLogger } from '../../base/log.ts';
import { dataPaths } from '../../base/paths.ts';
import { run } from '../../base/run.ts';
import { initKeys } from '../../keys/init.ts';
import { enrolSim, simId } from '../../lab/sim/enrolment.ts';
import type { SimNode } from '../../lab/sim/node.ts';
import { FleetDirectory } from '../../orchestrator/fleet/directory.ts';
import { withFleet } from '../../orchestrator/fleet/with-fleet.ts';

/** Goals, milliseconds of CPU. */
const GOALS = { help: 150, list: 300 };
const ROUNDS = 11;
const NODES = Number(process.argv[2] ?? 100);
const PROGRAM = fileURLToPath(new URL('../../bin/bootwave', import.meta.url));

const paths = dataPaths(await mkdtemp(join(tmpdir(), 'bw-')));
const env = { ...process.env, BOOTWAVE_REDIS_URL: '', BOOTWAVE_LOG: 'silent' };
/** Made by the first start and read by all others, as it is where the program is installed. */
const cached = { ...env, NODE_COMPILE_CACHE: join(paths.root, 'compile-cache') };

/** User and system time of a command and its children, median, in milliseconds; null: it is not installed. */
async function cpuOf(
  command: readonly string[],
  environment: NodeJS.ProcessEnv = cached,
): Promise<number | null> {
  const [name = ''] = command;
  if ((await run('bash', ['-c', 'command -v "$0"', name])).code !== 0) return null;
  const script = 'TIMEFORMAT="%3U %3S"; time "$0" "$@" >/dev/null 2>&1';
  const spent: number[] = [];
  for (let i = 0; i <= ROUNDS; i += 1) {
    const { stderr, code } = await run('bash', ['-c', script, ...command], { env: environment });
    if (code !== 0) throw new Error(`${command.join(' ')} failed`);
    const [user = 0, system = 0] = stderr.trim().split(' ').map(Number);
    // The first one fills what is kept.
    if (i > 0) spent.push((user + system) * 1000);
  }
  return spent.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)] ?? null;
}

const text = (ms: number | null) => (ms === null ? 'not installed' : `${ms.toFixed(0)} ms`);

try {
  await initKeys(paths.keys);
  await withFleet(paths, async (fleet) => {
    const log = createLogger('bench', 'silent');
    const directory = new FleetDirectory({ fleet, site: 'default', defaultImage: async () => null, log });
    for (let number = 0; number < NODES; number += 1) {
      const status = () => ({ running: { pcr11: null } });
      const hostKey = { line: `ssh-ed25519 AAAA${number}` };
      const node = {
        number,
        id: simId(number),
        bootId: `b${number}`,
        running: '1.0',
        healthy: true,
        hostKey,
        status,
      };
      await enrolSim(directory, node as unknown as SimNode, null);
    }
  });
  const server = spawn(PROGRAM, ['--data', paths.root, 'up', '--json'], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    await once(createInterface({ input: server.stdout }), 'line');
    const uncached = { ...env, NODE_COMPILE_CACHE: '' };
    const list = [PROGRAM, '--data', paths.root, 'node', 'list'];
    const help = (await cpuOf([PROGRAM, '--help']))!;
    const listed = (await cpuOf(list))!;
    console.log(`bare node: ${text(await cpuOf([process.execPath, '-e', '0']))}`);
    console.log(
      `nothing kept from a start before: --help ${text(await cpuOf([PROGRAM, '--help'], uncached))},`,
    );
    console.log(`  node list ${text(await cpuOf(list, uncached))}`);
    const git = await cpuOf(['git', '--version']);
    const etcdctl = await cpuOf(['etcdctl', 'version']);
    console.log(`git --version ${text(git)}; etcdctl version (Debian's etcd-client) ${text(etcdctl)}`);
    console.log(`node list of ${NODES} nodes: ${text(listed)} (goal: ${GOALS.list})`);
    const peer = etcdctl ?? git;
    console.log(
      `bench cli ${help.toFixed(0)} ms vs ${etcdctl === null ? 'git' : 'etcdctl'} ${text(peer)} ratio ${(help / (peer ?? 1)).toFixed(2)}`,
    );
    if (help > GOALS.help || listed > GOALS.list) process.exitCode = 1;
  } finally {
    server.kill('SIGTERM');
    await once(server, 'exit');
  }
} finally {
  await rm(paths.root, { recursive: true, force: true });
}
