/** Each check of the doctor by itself: pure judgements, and files that were spoilt in every way that happens. */
import { chmod, copyFile, open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import type { DataPaths } from '../../../base/paths.ts';
import { mustRun } from '../../../base/run.ts';
import { LOADERS } from '../../../bootserver/boot/urls.ts';
import { ip4Bytes, parseIp4 } from '../../../formats/dhcp/ip4.ts';
import { OPTION, textBytes } from '../../../formats/dhcp/options.ts';
import { serialisePacket } from '../../../formats/dhcp/packet.ts';
import { keyLayout } from '../../../keys/layout.ts';
import { inventedMac, OfferReader } from '../../../orchestrator/doctor/dhcp-client.ts';
import { type DhcpSituation, judgeDhcp } from '../../../orchestrator/doctor/dhcp-servers.ts';
import { deafSockets } from '../../../orchestrator/doctor/hearing.ts';
import { checkImage, checkLoaders } from '../../../orchestrator/doctor/image.ts';
import { judgeDhcp6 } from '../../../orchestrator/doctor/ipv6.ts';
import { checkKeyFiles } from '../../../orchestrator/doctor/key-files.ts';
import { missingPackages } from '../../../orchestrator/doctor/packages.ts';
import { asServer } from '../../../orchestrator/doctor/running.ts';
import { checkHttp } from '../../../orchestrator/doctor/wire.ts';
import { copyOf, makeInstallation, publish, removeInstallation } from './installation.ts';

let shared: DataPaths;
test.before(async () => {
  shared = await makeInstallation();
});
test.after.always(() => removeInstallation(shared));

const OWN = '10.0.0.1';
const offer = (server: string, bootFile: string | null = null) => ({
  server,
  offered: '10.0.0.77',
  bootFile,
});

const situations: [string, Omit<DhcpSituation, 'address'>, string, RegExp][] = [
  ['full, alone', { answers: [offer(OWN)], ours: 'full', proxyWanted: false }, 'ok', /only this boot server/],
  [
    'full, and another',
    { answers: [offer(OWN), offer('10.0.0.9')], ours: 'full', proxyWanted: false },
    'fail',
    /10\.0\.0\.9 \(offers 10\.0\.0\.77\)/,
  ],
  ['full, silent', { answers: [], ours: 'full', proxyWanted: false }, 'fail', /offers no address/],
  ['proxy, alone', { answers: [], ours: 'proxy', proxyWanted: false }, 'warn', /no DHCP server answers/],
  ['proxy, one', { answers: [offer('10.0.0.9')], ours: 'proxy', proxyWanted: false }, 'ok', /10\.0\.0\.9/],
  [
    'proxy, two',
    { answers: [offer('10.0.0.9'), offer('10.0.0.8')], ours: 'proxy', proxyWanted: false },
    'warn',
    /several.*10\.0\.0\.9.*10\.0\.0\.8/,
  ],
  [
    'proxy, one that boots machines itself',
    { answers: [offer('10.0.0.9', 'pxelinux.0')], ours: 'proxy', proxyWanted: false },
    'warn',
    /pxelinux\.0/,
  ],
  ['nothing runs, nobody', { answers: [], ours: 'absent', proxyWanted: false }, 'ok', /--range/],
  [
    'nothing runs, one',
    { answers: [offer('10.0.0.9')], ours: 'absent', proxyWanted: false },
    'warn',
    /10\.0\.0\.9/,
  ],
  ['proxy wanted, nobody', { answers: [], ours: 'absent', proxyWanted: true }, 'warn', /no DHCP server/],
  [
    'proxy wanted, one',
    { answers: [offer('10.0.0.9')], ours: 'absent', proxyWanted: true },
    'ok',
    /10\.0\.0\.9/,
  ],
  [
    'own address, not ours',
    { answers: [offer(OWN)], ours: 'absent', proxyWanted: false },
    'fail',
    /own address/,
  ],
];
for (const [title, situation, status, detail] of situations) {
  test(`DHCP: ${title}`, (t) => {
    const check = judgeDhcp({ ...situation, address: OWN });
    t.is(check.status as string, status);
    t.regex(check.detail, detail);
    t.is(check.next === undefined, status === 'ok', 'whoever is warned is told what to do');
  });
}

const question = { xid: 0x01020304, mac: '02:00:00:00:00:07' };
const server = (options: [number, Uint8Array][], change: { xid?: number; mac?: number[]; op?: 1 | 2 } = {}) =>
  Buffer.from(
    serialisePacket({
      op: change.op ?? 2,
      htype: 1,
      hops: 0,
      xid: change.xid ?? question.xid,
      secs: 0,
      flags: 0x8000,
      ciaddr: 0,
      yiaddr: parseIp4('10.0.0.77'),
      siaddr: 0,
      giaddr: 0,
      chaddr: Uint8Array.from(change.mac ?? [2, 0, 0, 0, 0, 7]),
      sname: '',
      file: '',
      options: new Map([[OPTION.messageType, Uint8Array.of(2)], ...options]),
    }),
  );

test('an offer names its server by option 54, also when a relay brought it; without it, by who sent it', (t) => {
  const reader = new OfferReader(question);
  t.deepEqual(reader.read(server([[OPTION.serverId, ip4Bytes(parseIp4('10.9.9.9'))]]), '10.0.0.254'), {
    server: '10.9.9.9',
    offered: '10.0.0.77',
    bootFile: null,
  });
  t.deepEqual(reader.read(server([[OPTION.bootFile, textBytes('a\x1b[2Jb')]]), '10.0.0.254'), {
    server: '10.0.0.254',
    offered: '10.0.0.77',
    bootFile: 'a[2Jb',
  });
  // An option that the package does not know makes it write to the console; the answer counts all the same.
  const own = [OPTION.serverId, ip4Bytes(parseIp4(OWN))] as [number, Uint8Array];
  t.is(reader.read(server([own, [222, Uint8Array.of(1)]]), OWN)?.server, OWN);
});

test("what answers somebody else's question is no answer", (t) => {
  const reader = new OfferReader(question);
  t.is(reader.read(server([], { xid: 1 }), '10.0.0.9'), undefined);
  t.is(reader.read(server([], { mac: [2, 0, 0, 0, 0, 8] }), '10.0.0.9'), undefined);
  t.is(reader.read(server([], { op: 1 }), '10.0.0.9'), undefined);
  t.not(reader.read(server([]), '10.0.0.9'), undefined);
});

test('no bytes at all can make the reader throw, print, or answer for an address that is none', (t) => {
  const reader = new OfferReader(question);
  const head = server([]).subarray(0, 240);
  const anything = fc.uint8Array({ maxLength: 600 });
  const afterHead = anything.map((tail) => Buffer.concat([head, tail]));
  const damaged = fc.tuple(fc.nat(239), fc.nat(255), anything).map(([at, value, tail]) => {
    const bytes = Buffer.concat([head, tail]);
    bytes[at] = value;
    return bytes;
  });
  const said: unknown[] = [];
  const { error } = console;
  console.error = (...words) => said.push(words);
  try {
    fc.assert(
      fc.property(fc.oneof(anything.map(Buffer.from), afterHead, damaged), (bytes) => {
        const answer = reader.read(Buffer.from(bytes), '10.0.0.9');
        if (answer === undefined) return;
        t.regex(answer.server, /^\d+\.\d+\.\d+\.\d+$/);
        t.regex(answer.bootFile ?? 'x', /^[ -~]{1,100}$/);
      }),
      { numRuns: 2000 },
    );
  } finally {
    console.error = error;
  }
  t.deepEqual(said, []);
});

test('DHCPv6: whoever gives firmware its address is named, and if nobody does, that', (t) => {
  const other = { server: 'fe80::9', offered: 'fd00::99' };
  const prefixes = ['fd00::/64'];
  t.like(judgeDhcp6([], prefixes), { status: 'ok' });
  t.like(judgeDhcp6([other], prefixes), { status: 'ok' });
  t.regex(judgeDhcp6([other], prefixes).detail, /before fe80::9 \(offers fd00::99\)$/);
  t.like(judgeDhcp6([other], []), { status: 'ok' });
  t.like(judgeDhcp6([], []), { status: 'warn' });
});

test('an invented MAC is locally administered and no multicast', (t) => {
  for (let n = 0; n < 100; n += 1) t.regex(inventedMac(), /^[0-9a-f][26ae](:[0-9a-f]{2}){5}$/);
});

test('a boot server is recognised by its command line, with either way to write an option', (t) => {
  const main = '/opt/bootwave/cli/main.ts';
  const of = (...words: string[]) => asServer({ pid: 7, program: 'node', args: ['node', '--x', ...words] });
  t.deepEqual(of(main, '--data', '/d', 'up', '--interface', 'eth1', '--proxy'), {
    pid: 7,
    interface: 'eth1',
    proxy: true,
  });
  t.deepEqual(of(main, 'up', '--interface=eth1', '--range', 'a-b', '--http-port=80', '--https-port', '443'), {
    pid: 7,
    interface: 'eth1',
    proxy: false,
    httpPort: 80,
    httpsPort: 443,
  });
  t.deepEqual(of(main, 'up', '--interface', 'eth1', '--ipv6', 'fd00::/64')?.ipv6, {
    prefixes: ['fd00::/64'],
  });
  t.deepEqual(of(main, 'up', '--interface', 'eth1', '--ipv6=proxy')?.ipv6, { prefixes: [] });
  t.is(of(main, 'lab', 'up'), undefined);
  t.is(of('/usr/sbin/other', 'up', '--interface', 'eth1'), undefined);
});

test('packages: removed but not purged is missing; node and npm may come from elsewhere', (t) => {
  const shown = 'kmod install ok installed\nredis-server deinstall ok config-files\n';
  t.deepEqual(missingPackages(['nodejs', 'npm', 'kmod', 'redis-server', 'swtpm'], shown), [
    'redis-server',
    'swtpm',
  ]);
});

async function spoilt(t: ExecutionContext, spoil: (paths: DataPaths) => Promise<unknown>) {
  const paths = await copyOf(t, shared);
  await spoil(paths);
  return paths;
}

const keyFaults: [string, (paths: DataPaths) => Promise<unknown>, RegExp, RegExp][] = [
  ['none', ({ keys }) => rm(keys, { recursive: true }), /there are none/, /keys init/],
  [
    'one missing',
    ({ keys }) => rm(keyLayout(keys).order.key),
    /order\.pub: its private key is missing/,
    /backup/,
  ],
  [
    'readable by others',
    ({ keys }) => chmod(keyLayout(keys).ca.root.key, 0o640),
    /ca\/root\.crt: .*chmod 600/,
    /^chmod 600 .*\*\.key$/,
  ],
  [
    'enrolment file missing',
    ({ keys }) => rm(keyLayout(keys).secureBoot.variables.PK.auth),
    /secure-boot\/PK\.auth: missing/,
    /backup/,
  ],
  [
    'key of another certificate',
    ({ keys }) => copyFile(keyLayout(keys).ca.servers.key, keyLayout(keys).ca.nodes.key),
    /nodes/,
    /backup/,
  ],
  [
    'garbage',
    ({ keys }) => writeFile(keyLayout(keys).pcr.pub, 'x'),
    /pcr\/policy\.pub: missing or unreadable/,
    /backup/,
  ],
  [
    'Secure Boot lists',
    ({ keys }) => writeFile(keyLayout(keys).secureBoot.lists, '{"generation":1}'),
    /lists\.json/,
    /backup/,
  ],
];
for (const [title, spoil, detail, next] of keyFaults) {
  test(`key files: ${title}`, async (t) => {
    const check = await checkKeyFiles((await spoilt(t, spoil)).keys);
    t.is(check.status, 'fail');
    t.regex(check.detail, detail);
    t.regex(check.next ?? '', next);
  });
}

test('key files: complete ones pass', async (t) => {
  t.like(await checkKeyFiles(shared.keys), { status: 'ok' });
});

test('image: whole and signed passes; absent, damaged or signed by another fleet fails', async (t) => {
  t.like((await checkImage(shared)).check, { status: 'ok' });

  const none = await checkImage(await spoilt(t, (paths) => rm(paths.images, { recursive: true })));
  t.is(none.newest, undefined);
  t.like(none.check, { status: 'fail' });
  t.regex(none.check.next!, /image build/);

  const damaged = await spoilt(t, async (paths) => {
    const handle = await open(join(paths.images, 'bootwave_1.0.0.efi'), 'r+');
    await handle.write(Buffer.from('!'), 0, 1, 100_000);
    await handle.close();
  });
  t.regex((await checkImage(damaged)).check.detail, /damaged/);

  const foreign = await spoilt(t, async (paths) => {
    const { db, KEK } = keyLayout(paths.keys).secureBoot.variables;
    await copyFile(KEK.key, db.key);
    await copyFile(KEK.certificate, db.certificate);
    await publish(paths, '2.0.0');
    const ours = keyLayout(shared.keys).secureBoot.variables.db;
    await copyFile(ours.certificate, db.certificate);
  });
  const refused = (await checkImage(foreign)).check;
  t.regex(refused.detail, /2\.0\.0\.efi does not carry the signature/);
});

test('boot loaders: missing or unsigned ones fail', async (t) => {
  t.like(await checkLoaders(shared), { status: 'ok' });
  const missing = await spoilt(t, (paths) => rm(join(paths.loaders, LOADERS.bios)));
  t.regex((await checkLoaders(missing)).detail, /undionly\.kpxe/);
  const unsigned = await spoilt(t, (paths) => {
    const file = join(paths.loaders, LOADERS.uefi);
    return mustRun('sbattach', ['--remove', file]);
  });
  t.like(await checkLoaders(unsigned), { status: 'fail' });
});

test('a server that does not answer is a failure with a next step, not an exception', async (t) => {
  const image = { version: '1.0.0', size: 1, sha256: 'a'.repeat(64) };
  const check = await checkHttp({ serverIp: '127.0.0.1', httpPort: 1 }, image);
  t.like(check, { name: 'HTTP', status: 'fail' });
  t.regex(check.detail, /ECONNREFUSED/);
  t.truthy(check.next);
});

test('a socket that is bound to an interface without a name is deaf, and its program is named', (t) => {
  const line = (local: string, users = '') => `UNCONN 0 0 ${local} 0.0.0.0:* ${users}`;
  const deaf = line('0.0.0.0%if5:67', 'users:(("dnsmasq",pid=812,fd=4))');
  t.deepEqual(
    deafSockets([line('0.0.0.0%eth1:67'), deaf, line('0.0.0.0:67'), line('0.0.0.0%if5:68'), ''].join('\n')),
    ['dnsmasq (pid 812)'],
  );
  t.deepEqual(deafSockets(line('0.0.0.0%if7:67')), ['a program']);
});
