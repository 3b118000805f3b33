import { readFile } from 'node:fs/promises';
import test, { type ExecutionContext } from 'ava';
import { dataPaths } from '../../../base/paths.ts';
import { mustRun, run } from '../../../base/run.ts';
import { bmcAddress, bmcNamespace } from '../../../lab/bmc/network.ts';
import { BMC_USER, bmcFiles } from '../../../lab/bmc/start.ts';
import { BOOTWAVE, startBootServer } from '../../../lab/boot-server.ts';
import type { Lab } from '../../../lab/lab.ts';
import { namespaceExists } from '../../../lab/namespace.ts';
import { sealerOf } from '../../../orchestrator/fleet/decisions/seal.ts';
import { FleetDirectory } from '../../../orchestrator/fleet/directory.ts';
import { Fleet } from '../../../orchestrator/fleet/fleet.ts';
import { connect } from '../../../orchestrator/redis/connect.ts';
import {
  anyImage,
  beatOfBoot,
  certificateFor,
  enrolment,
  inventory,
  pcr11,
  silent,
} from '../../orchestrator/fleet/support.ts';
import { keysIn } from '../../support/keys.ts';
import { until } from '../../support/until.ts';
import { HALT, program, small } from '../small.ts';

const node = { name: 'n1', firmware: 'bios', memoryMiB: 256, diskGiB: 1 } as const;

/** Emulated machines, perhaps beside others. */
const SLOW = { within: 20 * 60_000 };

/** A machine with a BMC, whose disk holds a program that halts. */
async function rack(t: ExecutionContext, bmc: 'ipmi' | 'redfish') {
  const { lab, folder } = await small(t, { bmc, nodes: [node, { ...node, name: 'n2' }] });
  await program(folder, HALT);
  const password = (await readFile(bmcFiles(folder).password, 'utf8')).trim();
  return { lab, folder, password };
}

const pidOf = async (lab: Lab, name: string) => {
  const power = (await lab.status()).nodes.find((one) => one.name === name)!.power;
  return power.on ? power.qemu.pid : null;
};

test('ipmi: a node is power-cycled by its BMC, goes and comes, and is then believed', async (t) => {
  const { lab, folder } = await rack(t, 'ipmi');
  const paths = dataPaths(lab.dataFolder);
  await keysIn(paths.keys);
  await startBootServer(lab);
  const bootwave = async (...args: string[]) => {
    const done = await run(BOOTWAVE, ['--data', paths.root, ...args, '--json'], {
      env: { ...process.env, BOOTWAVE_REDIS_URL: '' },
    });
    t.is(done.code, 0, done.stderr + done.stdout);
    return JSON.parse(done.stdout.trim().split('\n').at(-1)!);
  };

  // The guest has no agent: it is heard when, and as often as, its QEMU is another one.
  const connection = await connect(paths, { url: '' });
  t.teardown(connection.close);
  const fleet = new Fleet(connection.redis, sealerOf(paths.keys));
  const directory = new FleetDirectory({
    ...anyImage,
    ...{ fleet, site: 'default', pcr11, log: silent },
    defaultImage: async () => '1.0',
  });
  const { uuid, serial } = lab.nodes[0]!;
  const machine = enrolment(1, 1, { inventory: inventory(1, { uuid, serial }), at: Date.now() });
  const heard = async (pid: number) => {
    const booted = { ...machine, running: { ...machine.running, bootId: `${pid}` }, at: Date.now() };
    await directory.enrol(booted);
    await directory.heartbeat(machine.id, certificateFor(machine).serial, beatOfBoot(booted));
  };
  await directory.enrol(machine);
  await fleet.approve(machine.id, machine.words, { actor: 'operator:test', at: Date.now() }, 'web1');
  await directory.recordCertificate(machine.id, certificateFor(machine));

  const set = await bootwave(
    ...['node', 'bmc', 'set', 'web1', '--kind', 'ipmi', '--address', bmcAddress(0)],
    ...['--user', BMC_USER, '--password-file', bmcFiles(folder).password],
  );
  t.like(set, { ok: true, power: 'off' });
  t.deepEqual(
    set.weaknesses.map(({ code }: { code: string }) => code),
    ['cipher-zero'],
    'not on the network of the nodes',
  );

  // Each command waits until the node is heard, and exits with 0 only then.
  const on = bootwave('node', 'power', 'web1', 'on');
  await until(() => lab.isOn('n1'), SLOW);
  const first = (await pidOf(lab, 'n1'))!;
  await heard(first);
  t.like(await on, { before: 'off', after: 'on', did: 'on', action: { verdict: 'seen' } });

  const cycle = bootwave('node', 'power', 'web1', 'cycle');
  await until(async () => ((await pidOf(lab, 'n1')) ?? first) !== first, SLOW);
  t.is(await pidOf(lab, 'n2'), null, 'its neighbour was left alone');
  await heard((await pidOf(lab, 'n1'))!);
  t.like(await cycle, { before: 'on', after: 'on', did: 'cycle', action: { verdict: 'seen' } });
  const history = await bootwave('node', 'history', 'web1');
  t.true(
    history.some(
      ({ actor, reason }: { actor: string; reason: string }) =>
        actor === 'power' && reason.startsWith('cycle: it restarted'),
    ),
  );
  t.like((await bootwave('node', 'show', 'web1')).bmc, { test: { ok: true }, action: { verdict: 'seen' } });
});

test("redfish: clients that others wrote take the lab's BMC for one, and its switch is the machine's", async (t) => {
  const { lab, password } = await rack(t, 'redfish');
  const redfishtool = async (...args: string[]) => {
    const words = ['-r', `${bmcAddress(0)}:443`, '-S', 'Always', '-u', BMC_USER, '-p', password, ...args];
    const done = await lab.inNamespace('redfishtool', words);
    t.is(done.code, 0, `${args.join(' ')}: ${done.stdout}${done.stderr}`);
    return done.stdout;
  };
  await redfishtool('Systems', 'setBootOverride', 'Once', 'Pxe');
  await redfishtool('Systems', 'reset', 'On');
  await until(() => lab.isOn('n1'), SLOW);
  t.is(JSON.parse(await redfishtool('Systems', '-1')).PowerState, 'On');

  const script = `
import sushy, warnings
warnings.simplefilter('ignore')
root = sushy.Sushy('https://${bmcAddress(0)}', username='${BMC_USER}', password='${password}', verify=False)
system = root.get_system_collection().get_members()[0]
print(system.uuid, system.power_state.value)
system.set_system_boot_source(sushy.BOOT_SOURCE_TARGET_PXE, enabled=sushy.BOOT_SOURCE_ENABLED_ONCE)
system.reset_system(sushy.RESET_TYPE_FORCE_OFF)
`;
  const done = await lab.inNamespace('/usr/bin/python3', ['-c', script], {
    // Certificates that the host is told to trust would be asked for, whatever the client says.
    env: { PATH: process.env.PATH },
  });
  t.is(done.stdout.trim(), `${lab.nodes[0]!.uuid} On`, done.stderr);
  await until(async () => !(await lab.isOn('n1')), SLOW);
});

test('no node reaches a BMC, its server does, and nothing of them is left behind', async (t) => {
  const { lab, folder } = await rack(t, 'redfish');
  const probe = `bwp${process.pid}`;
  t.teardown(() => run('ip', ['netns', 'del', probe]));
  await mustRun('ip', ['netns', 'add', probe]);
  // In the place of a node that is root of itself, and knows where it wants to go.
  await mustRun('ip', [
    '-n',
    lab.namespace,
    'link',
    'add',
    'probe',
    'type',
    'veth',
    'peer',
    'name',
    'eth0',
    'netns',
    probe,
  ]);
  await mustRun('ip', ['-n', lab.namespace, 'link', 'set', 'probe', 'master', 'br0', 'up']);
  const input = [
    'addr add 10.77.0.90/24 dev eth0',
    'link set eth0 up',
    'route add 10.78.0.0/24 via 10.77.0.1',
    '',
  ].join('\n');
  await mustRun('ip', ['-n', probe, '-batch', '-'], { input });
  const ask = ['-sk', '--max-time', '2', `https://${bmcAddress(0)}/redfish`];
  t.is((await lab.inNamespace('curl', ask)).stdout, '{"v1":"/redfish/v1/"}');
  const near = await run('ip', [
    'netns',
    'exec',
    probe,
    'curl',
    '-s',
    '--max-time',
    '2',
    'http://10.77.0.1:1',
  ]);
  t.is(near.code, 7, 'the probe is on the wire of the nodes, and is refused a closed port at once');
  t.not((await run('ip', ['netns', 'exec', probe, 'curl', ...ask])).code, 0);

  const other = bmcNamespace(lab.namespace);
  t.true(await namespaceExists(other));
  await lab.down();
  t.false(await namespaceExists(other));
  t.is(await readFile(bmcFiles(folder).password, 'utf8').catch(() => null), null);
});
