/** What instances send is recorded by the kernel: real nft in a network namespace, read as the agent reads it. */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { mustRun } from '../../../../../base/run.ts';
import { countedFlows } from '../../../../../image/agent/member/flows/kernel-text.ts';
import { connectionRules, NEW_CONNECTIONS } from '../../../../../image/agent/root/services/net.ts';
import type { Place } from '../../../../../image/agent/root/services/place.ts';
import { FLOW_SET_SIZE } from '../../../../../protocol/agent/flows.ts';
import type { Restraint } from '../../../../../protocol/order.ts';
import { manifestOf } from './any-manifest.ts';
import { box } from './box.ts';
import { makeBundle, scratch } from './bundles.ts';

const SLEEPS = { command: ['/bin/sh', '-c', 'busybox sleep 1000'], env: { PATH: '/bin' } };

/** What root's unit says on a node. */
const UNIT = 'image/rootfs/usr/lib/systemd/system/bootwave-flows@.service';
const COMMAND = /^ExecStart=(.+)$/m.exec(readFileSync(UNIT, 'utf8'))![1]!;

/** A node with instances, a wire to a place where nobody answers, and a count of what leaves over it. */
async function wired(t: ExecutionContext) {
  t.timeout(180_000);
  const folder = await scratch(t);
  const bundle = await makeBundle(folder);
  const flood = join(folder, 'flood');
  await mustRun('gcc', ['-O1', '-o', flood, join(import.meta.dirname, 'flood.c')]);
  const node = await box(t);
  const { must } = node;
  await node.wire();
  await must('ip', 'route', 'add', 'default', 'via', '10.93.0.2');
  const count =
    'table netdev left { chain out { type filter hook egress device "wire" priority 0; ip protocol udp counter; }; }';
  await must('busybox', 'sh', '-c', `echo '${count}' | nft -f -`);
  return {
    node,
    start: (name: string, slot: number, manifest: Parameters<typeof manifestOf>[0]) =>
      node.start(name, slot, bundle, manifestOf({ ...SLEEPS, ...manifest })),
    /** From the instance's own address, past its own rules of what is declared. */
    send: (place: Place, first: string, many: number, port: number) =>
      must('ip', 'netns', 'exec', place.interface, flood, first, `${many}`, `${port}`),
    async left(): Promise<number> {
      const { stdout } = await must('nft', 'list', 'table', 'netdev', 'left');
      return Number(/counter packets (\d+)/.exec(stdout)![1]);
    },
    async flows() {
      // As on a node, which has no names of protocols.
      const asked = [
        'unshare',
        '--mount',
        'sh',
        '-c',
        `mount --bind /dev/null /etc/protocols && exec ${COMMAND}`,
      ];
      return countedFlows((await must(...asked)).stdout)!;
    },
  };
}
const ANYWHERE = { egress: [{ to: '0.0.0.0/0', protocol: 'udp' as const }] };
const sum = (all: readonly { packets: number }[]) => all.reduce((total, { packets }) => total + packets, 0);

test.serial(
  'what is sent is recorded by destination, what is answered by the own port, and it outlives the instance',
  async (t) => {
    const { node, start, send, flows } = await wired(t);
    const web = await start('fleet/web', 4, {
      ...ANYWHERE,
      ports: [{ name: 'dns', protocol: 'udp', port: 53 }],
    });
    const other = await start('fleet/other', 5, ANYWHERE);
    await send(web.place, '203.0.113.9', 1, 443);
    await send(web.place, '203.0.113.9', 1, 443);
    await send(other.place, '203.0.113.9', 1, 443);
    // Undeclared, and by IPv6: it does not leave its own namespace.
    for (const url of ['http://203.0.113.10/', 'http://[2001:db8::1]/'])
      await node.exec('ip', 'netns', 'exec', web.place.interface, 'curl', '-s', '-m', '1', url);
    const asks = `const s = require('node:dgram').createSocket('udp4').bind(5353, () => s.send('q', 53, '10.93.0.1'));
    s.on('message', () => process.exit(0)); setTimeout(() => process.exit(1), 5000);`;
    const answers = `const s = require('node:dgram').createSocket('udp4').bind(53); s.on('message', (m, { port, address }) => s.send('a', port, address, () => process.exit()));`;
    node.beside('ip', 'netns', 'exec', web.place.interface, process.execPath, '-e', answers);
    // Asked before it listens, the kernel answers with ICMP, and that is recorded, too.
    while (
      !(await node.exec('ip', 'netns', 'exec', web.place.interface, 'cat', '/proc/net/udp')).stdout.includes(
        ':0035 ',
      )
    )
      await sleep(50);
    let answered = false;
    for (let i = 0; i < 10 && !answered; i += 1)
      answered = (await node.exec('ip', 'netns', 'exec', 'outside', process.execPath, '-e', asks)).code === 0;
    t.true(answered, 'the published port answers');
    await node.stop('fleet.web');
    const found = await flows();
    const shown = found.map(({ bytes: _, idle: __, ...one }) => one);
    const flow = { to: '203.0.113.9', protocol: 'udp', port: 443 } as const;
    t.deepEqual(
      shown.filter(({ way }) => way === 'sent'),
      [
        { name: 'fleet/web', way: 'sent', ...flow, packets: 2 },
        { name: 'fleet/other', way: 'sent', ...flow, packets: 1 },
      ],
    );
    t.like(
      shown.filter(({ way }) => way === 'answered'),
      [{ name: 'fleet/web', to: '10.93.0.2', protocol: 'udp', port: 53 }],
    );
    t.is(shown.length, 3, JSON.stringify(shown));
    t.true(found.every(({ bytes, idle }) => bytes >= 29 && idle < 60));
    // In its place another one begins with a record of its own.
    const third = await start('fleet/third', 4, ANYWHERE);
    await send(third.place, '203.0.113.9', 1, 443);
    t.deepEqual(
      (await flows()).flatMap(({ name, way, packets }) => (way === 'sent' ? [`${name} ${packets}`] : [])),
      ['fleet/web 2', 'fleet/other 1', 'fleet/third 1'],
    );
  },
);

test.serial(
  'a flood of destinations fills its own record and no other, and hides nothing: each packet that left is counted',
  async (t) => {
    const { node, start, send, flows, left } = await wired(t);
    const began = performance.now();
    const bad = await start('fleet/bad', 6, ANYWHERE);
    const good = await start('fleet/good', 7, ANYWHERE);
    // It fills its record with others first.
    await send(bad.place, '100.64.0.0', FLOW_SET_SIZE + 100, 53);
    await send(bad.place, '203.0.113.9', 1, 443);
    for (let i = 0; i < 10; i += 1) await send(bad.place, `100.${10 * i}.0.0`, 100_000, 80);
    await send(good.place, '198.51.100.1', 3, 443);
    const found = await flows();
    const of = (wanted: string) => found.filter(({ name }) => name === wanted);
    const exact = of('fleet/bad').filter(({ way }) => way === 'sent');
    const wide = of('fleet/bad').filter(({ way }) => way === 'wide');
    t.is(exact.length, FLOW_SET_SIZE);
    t.deepEqual(wide.map(({ to }) => to).toSorted(), ['100.0.0.0', '203.0.0.0']);
    t.is(wide.find(({ to }) => to === '203.0.0.0')!.packets, 1);
    t.deepEqual(
      of('fleet/good')
        .map(({ to, packets }) => `${to} ${packets}`)
        .toSorted(),
      ['198.51.100.1 1', '198.51.100.2 1', '198.51.100.3 1'],
    );
    t.is(sum(found), await left());
    // Nor does it fill the kernel's table of connections by what its rules drop: neither its own nor the node's.
    const own = [
      'ip',
      'netns',
      'exec',
      bad.place.interface,
      'cat',
      '/proc/sys/net/netfilter/nf_conntrack_count',
    ];
    const connections = Number((await node.must(...own)).stdout);
    const { rate, burst } = NEW_CONNECTIONS.all;
    const seconds = (performance.now() - began) / 1000;
    t.true(connections <= burst + rate * (seconds + 1), `${connections}`);
    t.log(`of 1,001,128 packets ${await left()} left`);
  },
);

test.serial('new connections to one destination are few a second, whatever is declared', async (t) => {
  const { node, start, left } = await wired(t);
  const { place } = await start('fleet/scan', 8, ANYWHERE);
  const scan = `const s = require('node:dgram').createSocket('udp4'); (async () => {
    for (let p = 1; p <= 3000; p += 1) await new Promise((done) => s.send('x', p, '10.93.0.2', () => done())); s.close(); })()`;
  const began = performance.now();
  await node.must('ip', 'netns', 'exec', place.interface, process.execPath, '-e', scan);
  const seconds = (performance.now() - began) / 1000;
  const { rate, burst } = NEW_CONNECTIONS.to;
  const many = await left();
  t.true(many >= burst && many <= burst + rate * (seconds + 1), `${many} in ${seconds} s`);
});

test.serial('mail leaves only where its port is declared', async (t) => {
  const { node, start } = await wired(t);
  const { must } = node;
  await must(
    'busybox',
    'sh',
    '-c',
    'nft delete table netdev left; echo \'table netdev left { chain out { type filter hook egress device "wire" priority 0; tcp dport 25 counter; }; }\' | nft -f -',
  );
  const came = async () =>
    Number(/counter packets (\d+)/.exec((await must('nft', 'list', 'table', 'netdev', 'left')).stdout)![1]);
  const mail = ({ interface: name }: Place) =>
    node.exec('ip', 'netns', 'exec', name, 'curl', '-s', '-m', '2', 'telnet://10.93.0.2:25');
  const any = await start('fleet/any', 9, { egress: [{ to: '0.0.0.0/0' }] });
  await mail(any.place);
  t.is(await came(), 0);
  const said = await start('fleet/mail', 10, {
    egress: [{ to: '0.0.0.0/0' }, { to: '10.93.0.2', port: 25 }],
  });
  await mail(said.place);
  t.true((await came()) > 0);
});

test.serial(
  'frozen nothing passes, in neither direction, also of what was open; throttled so much; let go all',
  async (t) => {
    const { node, start, left } = await wired(t);
    const { place } = await start('fleet/web', 11, {
      ...ANYWHERE,
      ports: [{ name: 'dns', protocol: 'udp', port: 53 }],
    });
    const file = join(node.folder, 'connections.nft');
    const restrain = async (restraint: Restraint | null) => {
      await writeFile(file, connectionRules(place, restraint));
      await node.must('nft', '-f', file);
    };
    const send = (packets: number) => {
      const script = `const s = require('node:dgram').createSocket('udp4'); s.bind(7000); (async () => {
      for (let i = 0; i < ${packets}; i += 1) await new Promise((done) => s.send(Buffer.alloc(1000), 443, '10.93.0.2', () => done())); s.close(); })()`;
      return node.must('ip', 'netns', 'exec', place.interface, process.execPath, '-e', script);
    };
    const passed = async (packets: number) => {
      const before = await left();
      const began = performance.now();
      await send(packets);
      return { packets: (await left()) - before, seconds: (performance.now() - began) / 1000 };
    };
    t.is((await passed(50)).packets, 50);
    await restrain({ name: 'fleet/web', how: 'freeze' });
    t.is((await passed(50)).packets, 0);
    // From outside nothing comes in either.
    const came = ['ip', 'netns', 'exec', place.interface, 'cat', '/proc/net/snmp'];
    const received = async () => Number(/\nUdp: (\d+)/.exec((await node.must(...came)).stdout)![1]);
    const noPort = async () => (await node.must(...came)).stdout.match(/\nUdp: (?:\d+ ){1}(\d+)/)![1];
    const [before, without] = [await received(), await noPort()];
    await node.must(
      'ip',
      'netns',
      'exec',
      'outside',
      process.execPath,
      '-e',
      `const s = require('node:dgram').createSocket('udp4'); s.send('q', 53, '10.93.0.1', () => s.close())`,
    );
    t.deepEqual([await received(), await noPort()], [before, without]);
    const rate = 20_000;
    await restrain({ name: 'fleet/web', how: 'throttle', rate });
    const slow = await passed(2000);
    // Of 1,028 bytes each; what a second may have passes at once.
    t.true(slow.packets > 1 && slow.packets <= (rate * (slow.seconds + 1)) / 1028 + 1, JSON.stringify(slow));
    await restrain(null);
    t.is((await passed(50)).packets, 50);
  },
);
