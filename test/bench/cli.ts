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
import { type SimNode, simPcr11 } from '../../lab/sim/node.ts';
import { FleetDirectory } from '../../orchestrator/fleet/directory.ts';
import { withFleet } from '../../orchestrator/operators/with-fleet.ts';
import { anyImage } from '../orchestrator/fleet/any-image.ts';

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
    const pcr11 = async (version: string) => simPcr11(version);
    const directory = new FleetDirectory({
      ...anyImage,
      ...{ fleet, site: 'default', defaultImage: async () => null, pcr11, log },
    });
    for (let number = 0; number < NODES; number += 1) {
      const status = () => ({ running: { pcr11: simPcr11('1.0') } });
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
      const enrol = () => enrolSim(directory, node as unknown as SimNode, null);
      await enrol();
      const { words } = (await fleet.nodes.get(node.id))!;
      await fleet.approve(node.id, words, { actor: 'operator:bench', at: Date.now() });
      await enrol();
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
    // A list of nothing would be quick for no good reason.
    const { stdout } = await run(PROGRAM, [...list.slice(1), '--json'], { env: cached });
    const { nodes } = JSON.parse(stdout) as { nodes: unknown[] };
    if (nodes.length !== NODES) throw new Error(`the list has ${nodes.length} nodes, not ${NODES}`);
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
