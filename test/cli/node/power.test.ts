import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { run } from '../../../base/run.ts';
import { startPower } from '../../../orchestrator/power/keep.ts';
import { commandsOf, pageAt, REPOSITORY, words } from '../../docs/pages.ts';
import {
  beatOfBoot,
  certificateFor,
  enrolment,
  fleetFor,
  inventory,
  silent,
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

  const none = await node('power', 'web1', 'status');
  t.is(none.code, 'BMC_NONE');
  t.regex(none.message, /bmc set web1 --kind redfish --address IP --user NAME/);
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

test.serial('docs/power.md: each command does what the page says, in the order of the page', async (t) => {
  const { fleet, directory, by, paths, clock } = await fleetFor(t);
  const benches = { web1: await bench(t, 'ipmi'), web2: await bench(t, 'redfish') };
  const stop = new AbortController();
  const times = { look: 50, tests: 1e9, silence: 300 };
  const kept = startPower({ paths, fleet, networks: () => [], log: silent, signal: stop.signal, times });
  t.teardown(async () => {
    stop.abort();
    await kept;
  });
  const file = join(paths.root, 'password');
  await writeFile(file, `${PASSWORD}\n`);
  for (const [i, [name, { machine }]] of Object.entries(benches).entries()) {
    let boot = 1;
    // A node behind the switch: each start is another boot, and it is heard.
    const heard = async () => {
      clock.now = Date.now();
      const change = { inventory: inventory(i + 1, SWITCH), at: clock.now };
      const e = enrolment(i + 1, boot, change);
      await directory.enrol(e);
      if (boot === 1) await fleet.approve(e.id, e.words, by(), name);
      await directory.recordCertificate(e.id, certificateFor(e));
      await directory.heartbeat(e.id, certificateFor(e).serial, beatOfBoot(e));
      boot += 1;
    };
    await heard();
    machine.power = true;
    const { on } = machine;
    machine.on = async (from) => {
      await on.call(machine, from);
      void sleep(1000).then(heard);
    };
    machine.reset = () => machine.on();
  }
  const bootwave = commandsOn(t, paths.root);
  const { access } = benches.web2;
  const real: Record<string, string> = {
    'web1.password': file,
    'web2.password': file,
    '10.9.0.11': `127.0.0.1:${benches.web1.access.port}`,
    '10.9.0.12': `127.0.0.1:${access.port}`,
    '5A:..:C3': access.pin!,
  };
  const typed = commandsOf(await pageAt('docs/power.md')).filter(
    // A console is for somebody at a terminal: test/orchestrator/operations/console.test.ts.
    (line) => line.startsWith('bootwave node ') && !line.startsWith('bootwave node console '),
  );
  t.true(typed.length >= 14);
  // Forgotten in the middle of the page: set again for the rest of it.
  const again = typed.find((line) => line.includes('set web2'))!;
  for (const line of typed) {
    const lines = line.includes('remove web2') ? [line, again] : [line];
    for (const one of lines) {
      const args = words(one)
        .slice(1)
        .map((word) => real[word] ?? word);
      const ran = await bootwave('ann', ...args);
      t.is(`${ran.code} ${ran.exit}`, ' 0', `${one}\n${ran.message}${ran.out}`);
    }
  }
  t.deepEqual(benches.web1.machine.done, ['off', 'on', 'off', 'on from network', 'off', 'on', 'on']);
});
