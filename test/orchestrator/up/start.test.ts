/** `bootwave up` as a service runs it, on a real wire: how it fails to start, goes deaf, and takes over a configuration. */
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import type { DataPaths } from '../../../base/paths.ts';
import { mustRun, run } from '../../../base/run.ts';
import { formatIp4 } from '../../../formats/dhcp/ip4.ts';
import { parsePacket, serialisePacket } from '../../../formats/dhcp/packet.ts';
import { keyLayout } from '../../../keys/layout.ts';
import { message } from '../../bootserver/dhcp/messages.ts';
import { card6, Machine6 } from '../../bootserver/dhcp6/machine.ts';
import { addressIn, message6 } from '../../bootserver/dhcp6/messages.ts';
import { Inside, startIn, type TwoWires, twoWires } from '../../bootserver/sockets-netns.ts';
import { udhcpcIn } from '../../support/udhcpc.ts';
import { copyOf, makeInstallation, removeInstallation } from '../doctor/installation.ts';

const BOOTWAVE = fileURLToPath(new URL('../../../bin/bootwave', import.meta.url));
const ENV = { ...process.env, BOOTWAVE_REDIS_URL: '', BOOTWAVE_LOG: 'warn' };
const RANGE = ['--interface', 'boot0', '--range', '10.91.0.100-10.91.0.110'];

let shared: DataPaths;
test.before(async () => {
  shared = await makeInstallation();
});
test.after.always(() => removeInstallation(shared));

function bootwave(wires: TwoWires, paths: DataPaths, ...args: string[]) {
  const command = ['netns', 'exec', wires.server, BOOTWAVE, '--data', paths.root, ...args];
  // Only so that a start that does not end fails instead of hanging.
  return run('ip', command, { env: ENV, timeout: 60_000 });
}

const up = (t: ExecutionContext, wires: TwoWires, paths: DataPaths, ...args: string[]) =>
  startIn(t, wires.server, /^bootwave serves/, BOOTWAVE, ['--data', paths.root, 'up', ...args]);

/** Ports that anybody has in the server's namespace, but for the Redis and signer, which have none. */
async function ports(wires: TwoWires): Promise<string> {
  const { stdout } = await mustRun('ip', ['netns', 'exec', wires.server, 'ss', '-Hlntu']);
  return stdout.trim();
}

/** What DISCOVERs are offered, one after the other, by machines without an address. */
async function offered(t: ExecutionContext, wires: TwoWires, ...machines: number[]): Promise<string[]> {
  const client = new Inside(t, wires.inside, '../bootserver/sockets-client.ts', []);
  const got: string[] = [];
  for (const n of machines) {
    const send = serialisePacket(message('discover', n)).toString('hex');
    client.say({ send, to: '255.255.255.255', port: 67, from: 68 });
    const { answer } = (await client.next()) as { answer?: string };
    got.push(answer === undefined ? 'nothing' : formatIp4(parsePacket(Buffer.from(answer, 'hex')).yiaddr));
  }
  await client.end('SIGKILL');
  return got;
}

test('whatever fails at the start, the command ends with its error and leaves no port; then a good one runs', async (t) => {
  const wires = await twoWires(t);
  const paths = await copyOf(t, shared);
  const fails = async (what: RegExp, ...args: string[]) => {
    const { code, stderr } = await bootwave(wires, paths, 'up', ...args);
    t.regex(stderr, what);
    t.is(code, 1, stderr);
    t.is(await ports(wires), '', `${args}`);
  };
  await fails(/DHCP_CONFIG/, '--interface', 'boot0', '--range', '10.99.0.100-10.99.0.110');
  await fails(/DHCP_CONFIG/, ...RANGE, '--router', '10.91.0.255');
  await fails(/INTERFACE_MISSING/, '--interface', 'boot9', '--range', '10.91.0.100-10.91.0.110');
  await fails(/PORT_IN_USE/, ...RANGE, '--http-port', '7000', '--https-port', '7000');
  // What comes after the ports: the journal of leases cannot be opened.
  await mkdir(join(paths.bootserver, 'leases'), { recursive: true });
  await fails(/LEASES_UNREADABLE/, ...RANGE);
  await rm(join(paths.bootserver, 'leases'), { recursive: true });
  // And at the very end, the signer has no key.
  const { order } = keyLayout(paths.keys);
  await rm(order.key);
  await fails(/\[(ORDER_KEY_MISSING|SIGNER_\w+)\]/, ...RANGE);
  await up(t, wires, await copyOf(t, shared), ...RANGE);
  t.deepEqual(await offered(t, wires, 1), ['10.91.0.100']);
});

test('a second server on one data directory is refused, and the first goes on', async (t) => {
  const wires = await twoWires(t);
  const paths = await copyOf(t, shared);
  await up(t, wires, paths, ...RANGE);
  const second = await bootwave(
    wires,
    paths,
    'up',
    '--interface',
    'other0',
    '--range',
    '10.92.0.100-10.92.0.110',
  );
  t.regex(second.stderr, /UP_RUNNING/);
  t.is(second.code, 1);
  t.deepEqual(await offered(t, wires, 1), ['10.91.0.100']);
});

test('the interface is deleted and made again: it is served again, and doctor names it meanwhile', async (t) => {
  const wires = await twoWires(t);
  const paths = await copyOf(t, shared);
  const log = await up(t, wires, paths, ...RANGE);
  t.deepEqual(await offered(t, wires, 1), ['10.91.0.100']);
  const ip = (...args: string[]) => mustRun('ip', ['-n', wires.server, ...args]);
  const until = async (what: RegExp) => {
    while (!log.some((line) => what.test(line))) await new Promise((resolve) => setTimeout(resolve, 50));
  };
  await ip('link', 'del', 'boot0');
  await until(/INTERFACE_LOST/);
  await until(/INTERFACE_MISSING/);
  const { stdout } = await bootwave(wires, paths, 'doctor', '--json', '--interface', 'boot0');
  t.regex(stdout, /the boot server runs and hears nothing on boot0: this machine has no network interface/);
  await ip('link', 'add', 'boot0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', wires.inside);
  await ip('addr', 'add', '10.91.0.1/24', 'dev', 'boot0');
  await ip('link', 'set', 'boot0', 'up');
  await mustRun('ip', ['-n', wires.inside, 'link', 'set', 'eth0', 'up']);
  await mustRun('ip', ['-n', wires.inside, 'route', 'add', 'default', 'dev', 'eth0']);
  await until(/INTERFACE_SERVED/);
  t.deepEqual(await offered(t, wires, 2, 3), ['10.91.0.100', '10.91.0.101']);
  log.child.kill('SIGTERM');
  await log.closed;
  t.is(log.child.exitCode, 0);
  t.is(await ports(wires), '');
});

const FILE = `
interfaces:
  boot0:
    ntp: [10.91.0.3]
    subnets:
      - network: 10.91.0.0/24
        pools: [10.91.0.50-10.91.0.60]
    hosts:
      - { mac: 52-54-00-00-00-09, address: 10.91.0.200, name: nine }
    ipv6: { prefixes: [fd00:91::/64] }
  other0:
    subnets:
      - { network: 10.92.0.0/24, pools: [10.92.0.50-10.92.0.60] }
`;

test('a configuration file: several interfaces, reload without losing a lease, leases seen and ended', async (t) => {
  const wires = await twoWires(t);
  const paths = await copyOf(t, shared);
  const file = join(paths.root, 'bootserver.yaml');
  await writeFile(file, FILE);
  await run('ip', ['-n', wires.server, 'addr', 'add', 'fd00:91::1/64', 'dev', 'boot0', 'nodad']);
  await card6(wires.inside);
  await run('ip', ['-n', wires.inside, 'route', 'add', 'default', 'dev', 'eth0']);
  const machine = new Machine6(t, wires.inside);
  const log = await up(t, wires, paths, '--config', file);
  t.regex(log.join('\n'), /serves boot0 as 10\.91\.0\.1 and fd00:91::1, other0 as 10\.92\.0\.1/);
  t.deepEqual(await offered(t, wires, 1, 9), ['10.91.0.50', '10.91.0.200']);
  const bind = run('ip', udhcpcIn(wires.inside));
  t.regex((await bind).stderr, /lease of 10\.91\.0\.5\d obtained/);
  t.deepEqual((await readdir(paths.bootserver)).filter((name) => name.startsWith('leases')).sort(), [
    'leases',
    'leases.other0',
  ]);

  const list = async () =>
    JSON.parse((await bootwave(wires, paths, 'lease', 'list', '--json')).stdout) as {
      address: string;
      state: string;
    }[];
  const [first] = await list();
  t.like(first, { interface: 'boot0', state: 'bound' });

  await writeFile(file, FILE.replace('10.91.0.60]', '10.91.0.70]\n        router: 10.91.0.0'));
  const wrong = await bootwave(wires, paths, 'bootserver', 'reload');
  t.is(wrong.code, 1);
  t.regex(
    wrong.stderr,
    /bootserver\.yaml:8:9: interfaces\.boot0\.subnets\[0\]\.router: the router 10\.91\.0\.0 is the network/,
  );
  t.deepEqual(await offered(t, wires, 9), ['10.91.0.200'], 'it goes on with what it had');
  t.regex(addressIn(await machine.ask(message6()))!, /^fd00:91::/);

  await writeFile(file, FILE.replace(/ {4}ipv6.*\n/, ''));
  t.regex((await bootwave(wires, paths, 'bootserver', 'reload')).stderr, /BOOTSERVER_RESTART/);
  const other = FILE.replace('10.91.0.50-10.91.0.60', '10.91.0.80-10.91.0.90');
  await writeFile(file, other.replace('[fd00:91::/64]', '[]'));
  t.is((await bootwave(wires, paths, 'bootserver', 'reload')).code, 0);
  t.deepEqual(await offered(t, wires, 2, 9), ['10.91.0.80', '10.91.0.200']);
  const beside = await machine.ask(message6());
  t.is(addressIn(beside), undefined, 'another server gives the addresses now');
  t.is((await list())[0]?.address, first?.address, 'no lease was lost');

  t.is((await bootwave(wires, paths, 'lease', 'end', first?.address ?? '')).code, 0);
  t.deepEqual(await list(), []);
  const again = await bootwave(wires, paths, 'lease', 'end', first?.address ?? '');
  t.regex(again.stderr, /LEASE_UNKNOWN/);
  t.is(again.code, 1);
});
