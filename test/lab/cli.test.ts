/** `bootwave lab`, as a person or a script runs it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import test, { type ExecutionContext } from 'ava';
import { mustRun, type RunResult, run } from '../../base/run.ts';

const PROGRAM = join(import.meta.dirname, '../../bin/bootwave');

async function desk(t: ExecutionContext) {
  const root = await mkdtemp(join(tmpdir(), 'bw-'));
  const env = { ...process.env, BOOTWAVE_LAB: root };
  const bootwave = (...args: string[]): Promise<RunResult> => run(PROGRAM, ['lab', ...args], { env });
  t.teardown(async () => {
    await bootwave('down', '--all');
    await rm(root, { recursive: true, force: true });
  });
  const start = (...args: string[]): ChildProcess =>
    spawn(PROGRAM, ['lab', ...args], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  return { root, bootwave, start };
}

/** Small and without a boot server, so that only the lab itself is at work. */
const SMALL = ['--nodes', '2', '--firmware', 'bios', '--memory', '256', '--no-boot-server', '--json'];

/** Of this run alone: one that was killed leaves its namespaces, and they are not what these tests count. */
const CLI = `cli-${process.pid}`;
const SAVED = `saved-${process.pid}`;
const AGAIN = `again-${process.pid}`;
const CTRL_C = `ctrlc-${process.pid}`;

async function namespacesOf(lab: string): Promise<string[]> {
  const { stdout } = await mustRun('ip', ['netns', 'list']);
  return stdout.split('\n').filter((line) => line.startsWith(`bw-${lab}-`));
}

test('up --detach, status, power, console, down', async (t) => {
  const { root, bootwave } = await desk(t);
  const up = await bootwave('up', '--name', CLI, '--power', 'off', '--detach', ...SMALL);
  t.is(up.code, 0, up.stderr);
  t.is((await namespacesOf(CLI)).length, 1);

  const on = await bootwave('power', 'on', 'n1', '--json');
  t.like(JSON.parse(on.stdout), { node: 'n1', power: { on: true } });
  const [status] = JSON.parse((await bootwave('status', '--json')).stdout);
  t.deepEqual(
    status.nodes.map((node: { name: string; power: { on: boolean } }) => [node.name, node.power.on]),
    [
      ['n1', true],
      ['n2', false],
    ],
  );
  t.regex((await bootwave('status')).stdout, /^n1 +on +bios/m);

  while (!/SeaBIOS/.test((await bootwave('console', 'n1', '--log')).stdout));
  t.is((await bootwave('power', 'cycle', 'n1')).stdout, 'n1 is on.\n');
  t.is((await bootwave('power', 'off', 'n1')).stdout, 'n1 is off.\n');

  const down = await bootwave('down', '--json');
  t.deepEqual(JSON.parse(down.stdout), { down: [CLI] });
  t.deepEqual([await namespacesOf(CLI), await readdir(root)], [[], []]);
});

test('save, saved, up --from, forget', async (t) => {
  const { root, bootwave } = await desk(t);
  const one = ['--nodes', '1', '--firmware', 'bios', '--memory', '256', '--no-boot-server'];
  t.is((await bootwave('up', '--name', SAVED, '--detach', '--json', ...one)).code, 0);
  const saved = await bootwave('save', 'kept', '--name', SAVED, '--json');
  t.like(JSON.parse(saved.stdout), { saved: 'kept', lab: SAVED, nodes: ['n1'] });
  const code = async (...args: string[]) =>
    JSON.parse((await bootwave(...args, '--json')).stdout).error?.code;
  t.is(await code('save', 'kept', '--name', SAVED), 'LAB_SAVED');
  t.is(await code('save', '../kept', '--name', SAVED), 'LAB_NAME');
  t.is((await bootwave('save', 'kept', '--replace', '--name', SAVED)).code, 0);
  t.like(JSON.parse((await bootwave('saved', '--json')).stdout), [{ name: 'kept', unfit: null }]);
  t.regex((await bootwave('saved')).stdout, /^kept +\d{4}-.* n1 +\d+ +yes$/m);

  t.is(
    (await bootwave('up', '--from', 'kept', '--nodes', '2')).code,
    2,
    'its nodes are those that were saved',
  );
  const again = await bootwave('up', '--from', 'kept', '--name', AGAIN, '--detach', '--json');
  t.is(again.code, 0, again.stderr);
  const status = JSON.parse((await bootwave('status', '--json')).stdout);
  t.deepEqual(
    status.map(({ nodes }: { nodes: { power: { on: boolean } }[] }) => nodes[0]?.power.on),
    [true, true],
  );
  t.is((await bootwave('forget', 'kept')).stdout, 'kept is gone.\n');
  t.is(await code('forget', 'kept'), 'LAB_NOT_SAVED');
  await bootwave('down', '--all');
  t.deepEqual(await readdir(root), ['.saved']);
});

test('what cannot be done is a coded error and exit code 1, a wrong command line exit code 2', async (t) => {
  const { bootwave } = await desk(t);
  const codeOf = async (...args: string[]) => {
    const { code, stdout } = await bootwave(...args, '--json');
    return [code, JSON.parse(stdout).error.code];
  };
  t.deepEqual(await codeOf('status', '--name', 'nowhere'), [1, 'LAB_UNKNOWN']);
  t.deepEqual(await codeOf('down'), [1, 'LAB_UNKNOWN']);
  t.deepEqual(await codeOf('up', '--name', '../x'), [1, 'LAB_NAME']);
  t.is((await bootwave('up', '--firmware', 'coreboot')).code, 2);
  t.is((await bootwave('up', '--nodes', '0')).code, 2);
});

test('Ctrl-C takes everything away, in the middle of making the lab and afterwards', async (t) => {
  const { root, start } = await desk(t);
  // 'begun' is when the record stands and namespace and disks are still being made.
  for (const moment of ['begun', 'made', 'on'] as const) {
    const child = start('up', '--name', CTRL_C, ...SMALL);
    const ended = once(child, 'exit');
    if (moment === 'begun') {
      while ((await readdir(join(root, CTRL_C)).catch(() => [])).length === 0)
        await new Promise(setImmediate);
    } else {
      for await (const line of createInterface({ input: child.stdout! })) {
        if (JSON.parse(line).kind === moment) break;
      }
    }
    child.stdout?.resume();
    child.kill('SIGINT');
    t.deepEqual(await ended, [0, null], moment);
    t.deepEqual([await namespacesOf(CTRL_C), await readdir(root)], [[], []], moment);
  }
});

test('a lab taken down by another command ends the one that shows it', async (t) => {
  const { bootwave, start } = await desk(t);
  const child = start('up', '--name', 'other', '--power', 'off', ...SMALL);
  const ended = once(child, 'exit');
  await once(child.stdout!, 'data');
  child.stdout?.resume();
  await bootwave('down', '--name', 'other');
  t.deepEqual(await ended, [0, null]);
});

test('a node switched on elsewhere is reported by the one that shows the lab', async (t) => {
  const { bootwave, start } = await desk(t);
  const child = start('up', '--name', 'watch', '--power', 'off', ...SMALL);
  const ended = once(child, 'exit');
  const seen: string[] = [];
  for await (const line of createInterface({ input: child.stdout! })) {
    const { kind, node } = JSON.parse(line);
    seen.push(kind);
    if (kind === 'made') void bootwave('power', 'on', 'n2', '--name', 'watch');
    if (kind === 'on') {
      t.is(node, 'n2');
      break;
    }
  }
  child.kill('SIGTERM');
  await ended;
  t.deepEqual(seen, ['made', 'on']);
});
