import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { run } from '../../../base/run.ts';
import { REPOSITORY } from '../../docs/pages.ts';
import {
  beatOfBoot,
  certificateFor,
  enrolment,
  fleetFor,
  inventory,
} from '../../orchestrator/fleet/support.ts';
import { bench, PASSWORD, SWITCH, USER } from '../../orchestrator/power/benches.ts';
import { commandsOn } from '../in-process.ts';

test.serial('a BMC is set, shown, tested, used and forgotten from the command line', async (t) => {
  const { fleet, directory, by, paths } = await fleetFor(t);
  const e = enrolment(1, 1, { inventory: inventory(1, SWITCH) });
  await directory.enrol(e);
  await fleet.approve(e.id, e.words, by(), 'web1');
  await directory.recordCertificate(e.id, certificateFor(e));
  await directory.heartbeat(e.id, certificateFor(e).serial, beatOfBoot(e));
  const { access, machine } = await bench(t, 'redfish');
  const bootwave = commandsOn(t, paths.root);
  const node = (...args: string[]) => bootwave('ann', 'node', ...args);
  const file = join(paths.root, 'password');
  await writeFile(file, `${PASSWORD}\nsecond line\n`);
  const how = ['--kind', 'redfish', '--address', `${access.host}:${access.port}`, '--user', USER];

  t.is((await node('power', 'web1', 'status')).code, 'BMC_NONE');
  const unpinned = await node('bmc', 'set', 'web1', ...how, '--password-file', file);
  t.is(unpinned.code, 'BMC_PIN_MISSING');
  const pin = /--pin (\S+)/.exec(unpinned.message)![1]!;
  const set = await node('bmc', 'set', 'web1', ...how, '--password-file', file, '--pin', pin);
  t.is(set.code, '', set.what);
  t.regex(set.out, /^the BMC of web1 is known\nits BMC answered at .* power off$/);
  t.regex(
    (await node('bmc', 'show', 'web1')).out,
    /^redfish at 127\.0\.0\.1 port \d+, user bootwave\ncertificate [0-9a-f]{64}\nset by operator:ann/,
  );
  t.regex((await node('show', 'web1')).out, /^its BMC answered at/m);

  const on = await node('power', 'web1', 'on', '--no-wait', '--next', 'network');
  t.is(on.exit, 0);
  t.regex(on.out, /^web1: the BMC did 'on', and says that the power is on\nnot waited for: /);
  t.deepEqual(machine.done, ['on from network']);
  t.regex((await node('power', 'web1', 'on')).out, /on already, its BMC says; nothing was done/);
  t.regex(
    (await node('power', 'web1', 'status')).out,
    /says that it is on\nlast action: on, next boot from the network, by operator:ann, .*: nobody knows yet/,
  );
  t.regex(
    (await node('bmc', 'firmware', 'web1', '--order', 'Boot0002,Boot0001')).out,
    /boot 1: Boot0002 Disk\nboot 2: Boot0001 Network/,
  );

  const tested = await node('bmc', 'test', 'web1');
  t.is(tested.exit, 0);
  t.is((await node('bmc', 'remove', 'web1')).out, 'forgotten, its password with it');
  t.is((await node('bmc', 'test', 'web1')).code, 'BMC_NONE');
});

test.serial(
  'a password comes from standard input or a file, and there is no option that takes one',
  async (t) => {
    const bootwave = (args: string[], input: string) =>
      run(
        join(REPOSITORY, 'bin/bootwave'),
        ['node', 'bmc', 'set', 'web1', '--kind', 'ipmi', '--address', '10.0.0.9', '--user', 'u', ...args],
        {
          input,
          env: { ...process.env, BOOTWAVE_DATA: '/nonexistent' },
        },
      );
    t.regex((await bootwave([], '')).stderr, /SECRET_MISSING|no password is given/);
    t.regex((await bootwave([], 'p4ss\n')).stderr, /SERVER_NOT_RUNNING|no server|bootwave up/);
    t.regex((await bootwave(['--password', 'x'], '')).stderr, /unknown option/);
  },
);
