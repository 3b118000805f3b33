/** `slice exec` from elsewhere, with a certificate only. */
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
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
    t.like(one.got.opened, { theirs: true });
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
    t.like(team.got.opened, { theirs: false });
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
    await t.throwsAsync(runs(eve, LONG, { service: 'db' }).over, { code: 'SIGNER_GRANT_ORDER' });
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
