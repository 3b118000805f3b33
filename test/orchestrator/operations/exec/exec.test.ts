/** `slice exec` from elsewhere, with a certificate only. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { BootwaveError } from '../../../../base/error.ts';
import { run } from '../../../../base/run.ts';
import { ask, socketOf } from '../../../../orchestrator/operations/client.ts';
import { OperatorRegister } from '../../../../orchestrator/operators/register.ts';
import { doorOf } from '../support.ts';
import { owners } from './owners.ts';

const SH = (text: string) => ['/bin/busybox', 'sh', '-c', text];
const LONG = SH('echo on; sleep 1000');

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(20);
}

test.serial(
  'an owner runs a command in their instance, gives it their input, and gets its output and exit code',
  async (t) => {
    t.timeout(60_000);
    const { runs, eve, core, history, node } = await owners(t);
    const one = runs(eve, SH('read x; echo got $x; echo no >&2; exit 3'));
    (await one.opened).end('hello\n');
    t.like(await one.over, { exit: 3, why: '', service: 'shop@probe' });
    t.is(one.got.out, 'got hello\n');
    t.is(one.got.err, 'no\n');
    const [begun, over, ...rest] = await history();
    t.regex(begun!, /^operator:eve shop@probe from \S*127\.0\.0\.1: \["\/bin\/busybox","sh","-c","read x;/);
    t.regex(over!, /^operator:eve over: shop@probe: exit code 3$/);
    t.deepEqual(rest, []);
    t.is(node.units.running.size, 0);

    const much = runs(eve, SH("busybox dd if=/dev/zero bs=1000 count=5000 2>/dev/null | busybox tr '\\0' x"));
    t.like(await much.over, { exit: 0 });
    t.is(much.got.out.length, 5_000_000, 'all of it');
    const team = runs(core, SH('true'), { service: 'shop' });
    t.like(await team.over, { exit: 0 });
  },
);

test.serial(
  'it ends when the person leaves, is revoked, or the slice is over; the history says so',
  async (t) => {
    t.timeout(60_000);
    const { runs, eve, as, core, paths, history, node } = await owners(t);
    const runsOn = async (who: typeof eve) => {
      const one = runs(who, LONG);
      (await one.opened).on('error', () => {});
      await until(() => one.got.out === 'on\n');
      t.is(node.units.running.size, 1);
      return one;
    };
    const left = await runsOn(eve);
    left.leave();
    await t.throwsAsync(left.over, { code: 'SERVER_LOST' });
    await until(() => node.units.running.size === 0);

    const mallory = await as({ name: 'mallory', role: 'slice-owner', slices: ['probe'] });
    const hers = await runsOn(mallory);
    await new OperatorRegister(paths.keys).revoke(mallory.serial, {
      by: 'x',
      at: Date.now(),
      reason: 'left',
    });
    t.like(await hers.over, { exit: null });
    t.regex((await hers.over)!.why, /OPERATOR_REVOKED/);
    await until(() => node.units.running.size === 0);

    const last = await runsOn(eve);
    await core.say('slice delete', { name: 'probe' });
    t.regex((await last.over)!.why, /SLICE_ENDED/);
    await until(() => node.units.running.size === 0);
    await t.throwsAsync(runs(eve, LONG).over, { code: 'SLICE_ENDED' });
    const told = await history();
    t.true(told.some((text) => /^operator:mallory over: shop@probe: OPERATOR_REVOKED/.test(text)));
    t.true(told.some((text) => /^operator:eve over: shop@probe: who asked has left/.test(text)));
  },
);

test.serial('a long command is in the history to its last word', async (t) => {
  t.timeout(60_000);
  const { runs, eve, history } = await owners(t);
  const long = [
    '/bin/busybox',
    'sh',
    '-c',
    `# ${'\u{1F40C}'.repeat(2000)}`,
    'x'.repeat(3000),
    'echo what it does',
  ];
  t.like(await runs(eve, long).over, { exit: 0 });
  const parts = (await history()).filter((text) => text.includes(', part '));
  t.true(parts.length > 5);
  t.is(parts.map((text) => text.replace(/^.*?, part \d+ of \d+: /s, '')).join(''), JSON.stringify(long));
});

test.serial(
  'nobody else, nowhere else: no other slice, node or person, and nobody without a certificate',
  async (t) => {
    t.timeout(60_000);
    const { runs, eve, as, other, paths, asked, history } = await owners(t);
    const foreign = await as({ name: 'mallory', role: 'slice-owner', slices: ['mine'] });
    await t.throwsAsync(runs(foreign, LONG).over, { code: 'OPERATOR_SLICE' });
    for (const role of ['viewer', 'site-admin'] as const) {
      const person = await as({ name: role, role, sites: role === 'viewer' ? [] : ['default'] });
      await t.throwsAsync(runs(person, LONG).over, { code: 'OPERATOR_ROLE' });
    }
    for (const node of [other, 'nowhere'])
      await t.throwsAsync(runs(eve, LONG, { node }).over, { code: 'SLICE_NODE' });
    const misnamed = await t.throwsAsync<BootwaveError>(runs(eve, LONG, { service: 'db' }).over, {
      code: 'SIGNER_GRANT_ORDER',
    });
    t.regex(misnamed?.what ?? '', /^the order of node-[0-9a-f]+ does not name db/);
    t.regex(misnamed?.next ?? '', /look at the name of the service/);
    await t.throwsAsync(runs(eve, LONG, { service: 'shop@other' }).over, { code: 'SERVICE_NAME' });
    for (const command of [[], [''], ['a\0b'], Array(65).fill('x'), ['x'.repeat(8193)]])
      await t.throwsAsync(runs(eve, command).over, { code: 'INPUT_INVALID' });
    await doorOf(t, paths);
    const root = ask(socketOf(paths), { credential: null }, 'slice exec', {
      ...{ name: 'probe', node: other, command: LONG },
    });
    await t.throwsAsync(root, { code: 'SLICE_NODE' });
    t.deepEqual(asked, [], 'no node heard of it');
    t.deepEqual(await history(), []);
  },
);

test.serial('on the command line: what it writes, its exit code, and what is piped in', async (t) => {
  t.timeout(60_000);
  const { eve, id, url, root, paths } = await owners(t);
  const bootwave = (words: string[], input = '') =>
    run(join(import.meta.dirname, '../../../../bin/bootwave'), ['slice', 'exec', 'probe', ...words], {
      ...{ input, cwd: paths.root },
      env: { ...process.env, BOOTWAVE_SERVER: url, BOOTWAVE_OPERATOR: eve.file },
    });
  const shell = await bootwave(
    ['--root', root, '--node', id, '-i', '--', ...SH('busybox cat; echo no >&2; exit 5')],
    'a\u001b[2Jb',
  );
  t.deepEqual([shell.code, shell.stdout, shell.stderr], [5, 'a\u001b[2Jb', 'no\n']);
  const quiet = await bootwave(['--root', root, '--node', id, '--', '/bin/busybox', 'cat'], 'not for it');
  t.deepEqual([quiet.code, quiet.stdout, quiet.stderr], [0, '', '']);
  const absent = await bootwave(['--root', root, '--node', 'nowhere', '--', 'ls']);
  t.is(absent.code, 1);
  t.regex(absent.stderr, /SLICE_NODE/);
});
