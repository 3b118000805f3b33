/**
 * The pages followed by someone who types what they say: every `bootwave` line of their blocks is run for real, in
 * order, in a network namespace with an interface eth1. Builds and labs have tests of their own and are left out.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type DataPaths, dataPaths } from '../../base/paths.ts';
import { mustRun, run } from '../../base/run.ts';
import { FleetDirectory } from '../../orchestrator/fleet/directory.ts';
import { withFleet } from '../../orchestrator/operators/with-fleet.ts';
import { addImage, makeInstallation } from '../orchestrator/doctor/installation.ts';
import { anyImage, enrolment, inventory, pcr11, silent } from '../orchestrator/fleet/support.ts';
import { doorOf } from '../orchestrator/operations/support.ts';
import { commandsOf, pageAt, REPOSITORY, words } from './pages.ts';

type Follower = { t: ExecutionContext; namespace: string; paths: DataPaths; bin: string };

let made = 0;

async function follower(t: ExecutionContext, paths: DataPaths): Promise<Follower> {
  made += 1;
  const namespace = `bwd${process.pid}-${made}`;
  t.teardown(() => run('ip', ['netns', 'del', namespace]));
  const ip = (...args: string[]) => mustRun('ip', args);
  await ip('netns', 'add', namespace);
  await ip('-n', namespace, 'link', 'set', 'lo', 'up');
  await ip('-n', namespace, 'link', 'add', 'eth1', 'type', 'veth', 'peer', 'name', 'switch');
  for (const link of ['eth1', 'switch']) await ip('-n', namespace, 'link', 'set', link, 'up');
  const bin = await mkdtemp(join(tmpdir(), 'bw-'));
  t.teardown(() => rm(bin, { recursive: true, force: true }));
  await symlink(join(REPOSITORY, 'bin/bootwave'), join(bin, 'bootwave'));
  return { t, namespace, paths, bin };
}

/** A line as typed in a shell; with `answer`, at a terminal. */
function type({ namespace, paths, bin }: Follower, line: string, answer?: string) {
  const shell =
    answer === undefined
      ? ['bash', '-c', line]
      : ['script', '--quiet', '--return', '--command', line, '/dev/null'];
  const env = {
    ...process.env,
    PATH: `${bin}:${process.env.PATH}`,
    BOOTWAVE_DATA: paths.root,
    BOOTWAVE_REDIS_URL: '',
    BOOTWAVE_LOG: 'warn',
    SHELL: '/bin/bash',
  };
  return { program: 'ip', args: ['netns', 'exec', namespace, ...shell], env, input: answer ?? '' };
}

async function runs(who: Follower, line: string, answer?: string): Promise<string> {
  const { program, args, env, input } = type(who, line, answer);
  const { code, stdout, stderr } = await run(program, args, { env, input });
  who.t.is(code, 0, `${line}\n${stdout}${stderr}`);
  return stdout;
}

/** Starts a command that ends only when told so, waits for its first line, and hands back what ends it. */
async function starts(who: Follower, line: string): Promise<() => Promise<void>> {
  const { program, args, env } = type(who, `exec ${line}`);
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const closed = once(child, 'close');
  let said = '';
  const first = new Promise<void>((resolve) => {
    child.stdout.on('data', (bytes: Buffer) => {
      said += bytes;
      resolve();
    });
  });
  child.stderr.on('data', (bytes: Buffer) => {
    said += bytes;
  });
  let ended = false;
  const end = async () => {
    if (ended) return;
    ended = true;
    child.kill('SIGINT');
    const [code, signal] = (await closed) as [number | null, string | null];
    // What only shows something may simply die of Ctrl-C; a server has to end in order.
    const orderly = code === 0 || (signal === 'SIGINT' && !line.startsWith('bootwave up'));
    who.t.true(orderly, `${line} ended with ${code ?? signal}\n${said}`);
  };
  who.t.teardown(async () => {
    if (!ended) child.kill('SIGKILL');
    await closed;
  });
  await Promise.race([first, closed]);
  return end;
}

const endless = (line: string) => /bootwave (up|node watch)\b|--follow/.test(line);
const lines = async (path: string) =>
  commandsOf(await pageAt(path)).filter((line) => /^(bootwave|ip) /.test(line));

test('docs/install.md, from an empty data directory', async (t) => {
  const paths = dataPaths(await mkdtemp(join(tmpdir(), 'bw-')));
  t.teardown(() => rm(paths.root, { recursive: true, force: true }));
  const who = await follower(t, paths);
  let stop: (() => Promise<void>) | undefined;
  const followed: string[] = [];
  for (const line of await lines('docs/install.md')) {
    const version = /^bootwave image build --version (\S+)$/.exec(line)?.[1];
    if (version !== undefined) {
      await addImage(paths, version);
      continue;
    }
    followed.push(words(line).slice(0, 2).join(' '));
    if (endless(line)) {
      // The page shows two ways to start it; nobody runs both.
      await stop?.();
      stop = await starts(who, line);
      continue;
    }
    const said = await runs(who, line);
    if (line.startsWith('bootwave doctor')) t.notRegex(said, /^fail/m);
  }
  await stop?.();
  t.true(
    ['bootwave keys', 'bootwave up', 'bootwave doctor', 'ip address'].every((one) => followed.includes(one)),
  );
});

test('docs/nodes.md and docs/troubleshooting.md, with the machines that they name', async (t) => {
  const paths = await makeInstallation();
  t.teardown(() => rm(paths.root, { recursive: true, force: true }));
  const who = await follower(t, paths);
  await runs(who, 'ip address add 10.0.0.1/24 dev eth1');
  await doorOf(t, paths);
  const arrive = (n: number, start: string, parts: { words?: string[]; mac?: string }) =>
    withFleet(paths, (fleet) => {
      const ek = (start + String(n).repeat(64)).slice(0, 64);
      const machine = inventory(n);
      if (parts.mac !== undefined) machine.nics[0]!.mac = parts.mac;
      const directory = new FleetDirectory({
        ...anyImage,
        fleet,
        site: 'default',
        defaultImage: async () => '1.0.0',
        pcr11,
        log: silent,
      });
      return directory.enrol(
        enrolment(n, 1, {
          id: `tpm-${ek}`,
          ekDigest: ek,
          inventory: machine,
          at: Date.now(),
          ...(parts.words === undefined ? {} : { words: parts.words as [string, string, string, string] }),
        }),
      );
    });

  const all = [...(await lines('docs/nodes.md')), ...(await lines('docs/troubleshooting.md'))];
  // Every pending machine that the pages name is there, with the words that they type.
  const names = new Set(all.flatMap((line) => line.match(/node-[0-9a-f]{6}/g) ?? []));
  t.true(names.size >= 3);
  let n = 0;
  for (const name of names) {
    n += 1;
    const typed = all
      .map((line) => new RegExp(`${name}.*--words "([^"]*)"`).exec(line)?.[1])
      .find((one) => one);
    await arrive(n, name.replace('node-', ''), typed === undefined ? {} : { words: typed.split(' ') });
  }
  for (const line of all) {
    if (endless(line)) {
      await (await starts(who, line))();
      continue;
    }
    const asks = /^bootwave node approve/.test(line) && !line.includes('--words');
    await runs(who, line, asks ? 'y\n' : undefined);
    const mac = /^bootwave node expect --mac (\S+) --name/.exec(line)?.[1];
    if (mac !== undefined)
      t.is((await arrive(9, '99', { mac })).state, 'approved', 'the expected machine is let in');
  }
  const list = JSON.parse(await runs(who, 'bootwave node list --json')) as {
    nodes: { name: string; state: string }[];
  };
  const states = Object.fromEntries(list.nodes.map(({ name, state }) => [name, state]));
  t.like(states, { 'node-4f21c8': 'enrolled', web2: 'enrolled', 'node-c59a11': 'rejected', web3: 'retired' });
});
