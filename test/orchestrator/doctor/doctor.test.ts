/** The doctor as people run it, on real wires: network namespaces with dnsmasq and our own boot server. */
import { rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import type { DataPaths } from '../../../base/paths.ts';
import { run } from '../../../base/run.ts';
import { LOADERS } from '../../../bootserver/boot/urls.ts';
import type { Check } from '../../../orchestrator/doctor/check.ts';
import { withFleet } from '../../../orchestrator/operators/with-fleet.ts';
import { startIn, type TwoWires, twoWires } from '../../bootserver/sockets-netns.ts';
import { keysIn } from '../../support/keys.ts';
import { directoryOn, enrolment, macOf } from '../fleet/support.ts';
import { copyOf, makeInstallation, publish, removeInstallation } from './installation.ts';

const BOOTWAVE = fileURLToPath(new URL('../../../bin/bootwave', import.meta.url));
const STRANGER = fileURLToPath(new URL('./dhcp-stranger.ts', import.meta.url));
const ENV = { ...process.env, BOOTWAVE_REDIS_URL: '', BOOTWAVE_LOG: 'warn' };

let shared: DataPaths;
test.before(async () => {
  shared = await makeInstallation();
});
test.after.always(() => removeInstallation(shared));

async function doctor(wires: TwoWires, paths: DataPaths, ...args: string[]) {
  const command = [
    'netns',
    'exec',
    wires.server,
    BOOTWAVE,
    '--data',
    paths.root,
    'doctor',
    '--json',
    ...args,
  ];
  const { code, stdout, stderr } = await run('ip', command, { env: ENV });
  const { ok, checks } = JSON.parse(stdout) as { ok: boolean; checks: Check[] };
  const of = (name: string) => checks.find((check) => check.name === name);
  const failures = checks.filter((check) => check.status === 'fail');
  const failed = failures.map((check) => check.name);
  const words = `${failures.map((check) => check.detail).join('\n')}${stderr}`;
  return { code, ok, of, failed, words, stderr };
}

const up = (t: ExecutionContext, wires: TwoWires, paths: DataPaths, ...how: string[]) =>
  startIn(t, wires.server, /^bootwave serves/, BOOTWAVE, [
    ...['--data', paths.root, 'up', '--interface', 'boot0'],
    ...how,
  ]);

/** The other DHCP server, in the machine's namespace (10.91.0.2) unless another is named. */
async function dnsmasq(t: ExecutionContext, wires: TwoWires, ...more: string[]) {
  await run('ip', ['-n', wires.inside, 'addr', 'add', '10.91.0.2/24', 'dev', 'eth0']);
  return startIn(t, wires.inside, /DHCP, .*10\.91\.0\.50/, 'dnsmasq', [
    ...['--no-daemon', '--conf-file=/dev/null', '--port=0', '--interface=eth0', '--bind-interfaces'],
    ...['--dhcp-range=10.91.0.50,10.91.0.60', '--dhcp-leasefile=/dev/null', '--log-dhcp', ...more],
  ]);
}

test('a new installation: nothing fails, and what is not there yet is said', async (t) => {
  const wires = await twoWires(t);
  const found = await doctor(wires, shared, '--interface', 'boot0');
  t.deepEqual(found.failed, [], found.words);
  t.is(found.code, 0);
  t.regex(found.of('ports')!.detail, /^free: UDP 67, 69, 4011, TCP 7080, 7443$/);
  t.like(found.of('DHCP on the wire'), { status: 'ok' });
  t.like(found.of('boot server'), { status: 'ok' });

  const nowhere = await doctor(wires, shared);
  t.like(nowhere.of('interface'), { status: 'warn' });
  const absent = await doctor(wires, shared, '--interface', 'boot9');
  t.like(absent.of('interface boot9'), { status: 'fail' });
  t.is(absent.code, 1);
});

test('another DHCP server is named, and asked once', async (t) => {
  const wires = await twoWires(t);
  const log = await dnsmasq(t, wires, '--dhcp-boot=other.efi');
  const plain = await doctor(wires, shared, '--interface', 'boot0');
  const proxy = await doctor(wires, shared, '--interface', 'boot0', '--proxy');
  t.like(plain.of('DHCP on the wire'), { status: 'warn' });
  t.regex(
    plain.of('DHCP on the wire')!.detail,
    /10\.91\.0\.2 \(offers 10\.91\.0\.(5\d|60), boot file other\.efi\)/,
  );
  t.like(proxy.of('DHCP on the wire'), { status: 'warn' });
  t.regex(proxy.of('DHCP on the wire')!.detail, /says itself what to boot/);
  const asked = log.filter((line) => /DHCP(DISCOVER|REQUEST|ACK)\(/.test(line));
  t.is(asked.filter((line) => line.includes('DHCPDISCOVER')).length, 2);
  t.is(asked.length, 2, asked.join('\n'));
});

test('beside our full server another one is a failure, also one whose answers cannot be read; nobody is asked for more', async (t) => {
  const wires = await twoWires(t);
  await run('ip', ['-n', wires.server, 'addr', 'add', 'fd00:91::1/64', 'dev', 'boot0']);
  await up(
    t,
    wires,
    await copyOf(t, shared),
    '--range',
    '10.91.0.100-10.91.0.110',
    '--http-port',
    '8081',
    '--ipv6',
    'fd00:91::/64',
  );
  const alone = await doctor(wires, shared);
  t.deepEqual(alone.failed, [], alone.words);
  t.like(alone.of('DHCP on the wire'), {
    status: 'ok',
    detail: 'only this boot server (10.91.0.1) answers',
  });
  t.regex(alone.of('ports')!.detail, /^held by the running boot server/);
  t.regex(alone.of('TFTP')!.detail, /came whole/);
  t.regex(alone.of('HTTP')!.detail, /port 8081$/);
  t.like(alone.of('TLS'), { status: 'ok' });
  t.like(alone.of('IPv6'), { status: 'ok', detail: 'fd00:91::1 on boot0' });
  t.regex(alone.of('HTTP over IPv6')!.detail, /port 8081$/);
  t.regex(alone.of('DHCPv6 on the wire')!.detail, /no other DHCPv6 server answers$/);

  await run('ip', ['-n', wires.inside, 'addr', 'add', '10.91.0.2/24', 'dev', 'eth0']);
  const heard = await startIn(t, wires.inside, /^listening$/, process.execPath, [STRANGER, 'eth0']);
  await run('ip', ['-n', wires.inside, 'addr', 'add', 'fd00:91::2/64', 'dev', 'eth0', 'nodad']);
  await startIn(t, wires.inside, /DHCPv6, IP range/, 'dnsmasq', [
    ...['--no-daemon', '--conf-file=/dev/null', '--port=0', '--interface=eth0', '--bind-interfaces'],
    ...['--dhcp-range=fd00:91::50,fd00:91::59,64', '--dhcp-leasefile=/dev/null', '--log-dhcp'],
  ]);
  const beside = await doctor(wires, shared);
  t.deepEqual(beside.failed, ['DHCP on the wire']);
  t.regex(beside.of('DHCPv6 on the wire')!.detail, /, before fe80::\S+ \(offers fd00:91::5\d\)$/);
  const { detail } = beside.of('DHCP on the wire')!;
  t.regex(detail, /10\.91\.0\.2 \(an answer without an address\)/);
  t.regex(detail, /10\.91\.0\.7 \(offers 10\.91\.0\.99\)/);
  t.is(beside.code, 1);
  t.is(beside.stderr, '');
  // It answered seconds before the doctor ended: whatever the doctor asked in return is here.
  const asked = heard.filter((line) => line.startsWith('heard '));
  t.true(asked.length > 0);
  for (const line of asked) t.is(line, 'heard discover');
});

test('a proxy without a DHCP server is said, with one all is well', async (t) => {
  const wires = await twoWires(t);
  await up(t, wires, await copyOf(t, shared), '--proxy');
  const none = await doctor(wires, shared, '--interface', 'boot0');
  t.like(none.of('DHCP on the wire'), { status: 'warn' });
  t.regex(none.of('DHCP on the wire')!.detail, /no DHCP server answers/);
  await dnsmasq(t, wires);
  const one = await doctor(wires, shared, '--interface', 'boot0');
  t.like(one.of('DHCP on the wire'), { status: 'ok' });
  t.regex(one.of('DHCP on the wire')!.detail, /^10\.91\.0\.2 \(offers/);
  t.deepEqual(one.failed, []);
});

test('a boot server that serves other files or another fleet than this data directory is found out', async (t) => {
  const wires = await twoWires(t);
  await up(t, wires, await copyOf(t, shared), '--range', '10.91.0.100-10.91.0.110');
  const other = await copyOf(t, shared);
  await rm(other.keys, { recursive: true });
  await keysIn(other.keys, 'theirs');
  await publish(other, '2.0.0');
  await run('cp', ['/usr/lib/ipxe/ipxe.efi', `${other.loaders}/${LOADERS.uefi}`]);
  const found = await doctor(wires, other, '--interface', 'boot0');
  t.deepEqual(found.failed, ['boot loaders', 'TFTP', 'HTTP', 'TLS']);
});

test('a port that another program has is a failure that names it', async (t) => {
  const wires = await twoWires(t);
  const server = `require('net').createServer().listen(7443, '10.91.0.1', () => console.log('listening'))`;
  await startIn(t, wires.server, /listening/, process.execPath, ['-e', server]);
  const found = await doctor(wires, shared, '--interface', 'boot0');
  t.deepEqual(found.failed, ['ports']);
  t.regex(found.of('ports')!.detail, /TCP port 7443 .* in use by node \(pid \d+\)/);
  t.is(found.code, 1);
  // The same port on the other interface is nobody's trouble.
  t.like((await doctor(wires, shared, '--interface', 'other0')).of('ports'), { status: 'ok' });
});

test('a boot server that ended is missed by the doctor, one that hears no interface by the list', async (t) => {
  const wires = await twoWires(t);
  const paths = await copyOf(t, shared);
  await withFleet(paths, async (fleet) => {
    await directoryOn(fleet).enrol(enrolment(1));
  });
  const on = (...args: string[]) =>
    run('ip', ['netns', 'exec', wires.server, BOOTWAVE, '--data', paths.root, ...args], { env: ENV });
  const deaf = await startIn(t, wires.server, /^bootwave /, BOOTWAVE, ['--data', paths.root, 'up']);
  t.regex((await on('node', 'list')).stdout, /NOBODY LISTENS at site default so far/);
  t.like((await doctor(wires, paths)).of('listening'), { status: 'warn' });
  deaf.child.kill('SIGTERM');
  await deaf.closed;

  const server = await up(t, wires, paths, '--range', '10.91.0.100-10.91.0.110');
  t.notRegex((await on('node', 'list')).stdout, /NOBODY LISTENS/);
  t.like((await doctor(wires, paths)).of('listening'), { status: 'ok' });
  server.child.kill('SIGTERM');
  await server.closed;
  const list = await on('node', 'list', '--json');
  t.is(JSON.parse(list.stdout).error.code, 'SERVER_NOT_RUNNING');
  const found = await doctor(wires, paths, '--interface', 'boot0');
  t.like(found.of('listening'), { status: 'fail' });
  t.is(found.code, 1);

  await startIn(t, wires.server, /^bootwave /, BOOTWAVE, ['--data', paths.root, 'up']);
  const { stdout } = await on('node', 'list', '--json');
  const [unheard, ...more] = JSON.parse(stdout).silent as { site: string; since: number }[];
  t.deepEqual(more, []);
  t.is(unheard?.site, 'default');
  t.true(Number.isSafeInteger(unheard?.since), 'when the one before ended');
  for (const args of [
    ['node', 'list'],
    ['node', 'show', macOf(1)],
  ])
    t.regex((await on(...args)).stdout, /NOBODY LISTENS at site default since 20\d\d-/, args.join(' '));
});

test('a DHCP server beside one that answers already is refused, unless somebody says that it is meant', async (t) => {
  const wires = await twoWires(t);
  const paths = await copyOf(t, shared);
  await dnsmasq(t, wires);
  const how = ['--data', paths.root, 'up', '--interface', 'boot0', '--range', '10.91.0.100-10.91.0.110'];
  const refused = await run('ip', ['netns', 'exec', wires.server, BOOTWAVE, ...how, '--json'], { env: ENV });
  t.is(refused.code, 1);
  t.like(JSON.parse(refused.stdout.trim().split('\n').at(-1)!).error, { code: 'UP_DHCP_OTHER' });
  t.regex(refused.stdout, /10\.91\.0\.2 \(offers 10\.91\.0\.\d+/);
  // It left no port, and the word is heard.
  await up(t, wires, paths, '--range', '10.91.0.100-10.91.0.110', '--beside-dhcp');
  t.pass();
});
