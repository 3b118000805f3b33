/**
 * Real instances under crun on this machine, without limits and verity, which need a node's kernel
 * (test/rack/service.test.ts): what a service that went bad can reach.
 */

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { mustRun } from '../../../../../base/run.ts';
import { MOST_CONNECTIONS } from '../../../../../image/agent/root/services/net.ts';
import { until } from '../../../../support/until.ts';
import { manifestOf } from './any-manifest.ts';
import { box } from './box.ts';
import { makeBundle, scratch } from './bundles.ts';

const SH = '/bin/sh';
const read = (path: string) => readFile(path, 'utf8').catch(() => '');

test.serial('nothing of what a hostile service tries is done', async (t) => {
  t.timeout(180_000);
  const folder = await scratch(t);
  const program = join(folder, 'hostile');
  await mustRun('gcc', [
    '-static',
    '-O1',
    '-D_GNU_SOURCE',
    '-o',
    program,
    join(import.meta.dirname, 'hostile.c'),
  ]);
  const bundle = await makeBundle(folder, { hostile: program });
  const node = await box(t);
  await node.must(
    'busybox',
    'sh',
    '-c',
    `mkdir -p ${node.folder}/states/other/data && echo s > ${node.folder}/states/other/data/secret`,
  );
  const command = [SH, '-c', 'hostile; echo end; sleep 1000'];
  const bad = await node.start('fleet/bad', 1, bundle, manifestOf({ command, env: { PATH: '/bin' } }));
  await until(async () => (await read(bad.output)).includes('end\n'));
  const lines = (await read(bad.output)).trim().split('\n').slice(0, -1);
  t.true(lines.length >= 35, `${lines.length}`);
  t.deepEqual(
    lines.filter((line) => line.endsWith(' done')),
    [],
  );
  // What is not on the list is not refused but unknown: libraries do what they did before it existed.
  for (const name of ['mount', 'unshare-user', 'clone3', 'bpf', 'keyctl', 'io-uring', 'ptrace'])
    t.true(lines.includes(`${name} Function not implemented`), name);
  // As root of its own, it is nobody here, and nobody's process may be seen.
  const pid = (await read(join(node.folder, 'run/instances/fleet.bad/pid'))).trim();
  const status = await read(`/proc/${pid}/status`);
  t.regex(status, new RegExp(`^Uid:\\t${bad.place.firstId}\\t`, 'm'));
  t.regex(status, /^NoNewPrivs:\t1$/m);
  t.regex(status, /^CapBnd:\t0+$/m);
  const { stdout } = await node.inside('fleet.bad', [SH, '-c', 'ls -d /proc/[0-9]* | wc -l; id -u']);
  t.regex(stdout, /^\d\n0\n$/);
});

test.serial('an instance reads no other, and each comes and goes without the other', async (t) => {
  t.timeout(180_000);
  const bundle = await makeBundle(await scratch(t));
  const node = await box(t);
  const keeps = {
    command: [SH, '-c', 'echo mine > /state/secret; sleep 1000'],
    state: { path: '/state', bytes: 2 ** 20 },
  };
  const a = await node.start('fleet/a', 1, bundle, manifestOf(keeps));
  const b = await node.start('fleet/b', 2, bundle, manifestOf(keeps));
  await until(async () => (await read(join(b.data, 'secret'))) !== '');
  // The state of the other, handed over as if by mistake: its owner has other ids.
  const spy = manifestOf({ ...keeps, command: [SH, '-c', 'cat /state/secret; ls /state; sleep 1000'] });
  await node.stop('fleet.a');
  const c = await node.start('fleet/c', 3, bundle, spy);
  await node.must('mount', '--bind', b.data, c.data);
  await node.must('crun', '--cgroup-manager=disabled', 'delete', '--force', 'fleet.c');
  const seen = await node.inside('fleet.b', ['/bin/busybox', 'cat', '/state/secret']);
  t.is(seen.stdout, 'mine\n', 'its own it reads');
  const again = await node.exec(
    'busybox',
    'sh',
    '-c',
    `crun --cgroup-manager=disabled run --detach --bundle ${node.folder}/run/instances/fleet.c fleet.c >${c.output} 2>&1 </dev/null`,
  );
  t.is(again.code, 0);
  await until(async () => (await read(c.output)).includes('ermission'));
  t.false((await read(c.output)).includes('mine'));
  t.is((await read(join(a.data, 'secret'))).trim(), 'mine', 'what it kept stays when it ends');
});

test.serial('what was declared is reached, from outside and to outside; nothing else is', async (t) => {
  t.timeout(180_000);
  const folder = await scratch(t);
  const bundle = await makeBundle(folder);
  const node = await box(t);
  const { must, exec } = node;
  await node.wire();
  await must('ip', '-n', 'outside', 'route', 'add', '198.18.0.0/15', 'via', '10.93.0.1');
  const outside = (...args: string[]) => exec('ip', 'netns', 'exec', 'outside', ...args);
  await writeFile(join(folder, 'index.html'), 'outside');
  await mkdir(join(folder, 'cgi-bin'));
  const who = '#!/bin/sh\nprintf "\\r\\n%s" "$REMOTE_ADDR"\n';
  await writeFile(join(folder, 'cgi-bin/who'), who, { mode: 0o755 });
  for (const port of ['8001', '8002'])
    node.beside('ip', 'netns', 'exec', 'outside', 'busybox', 'httpd', '-f', '-p', port, '-h', folder);
  node.beside('busybox', 'httpd', '-f', '-p', '8003', '-h', folder);
  for (const port of ['8001', '8002', '8003']) {
    const at = port === '8003' ? '127.0.0.1' : '10.93.0.2';
    await until(async () => (await exec('curl', '-sf', '-m', '1', `http://${at}:${port}/`)).code === 0);
  }

  const web = manifestOf({
    command: [SH, '-c', 'echo hello > /tmp/index.html; httpd -p 81 -h /tmp; exec httpd -f -p 80 -h /tmp'],
    env: { PATH: '/bin' },
    ports: [{ name: 'http', port: 80 }],
    egress: [{ to: '10.93.0.2', port: 8001 }],
    health: { check: { kind: 'tcp', port: 81 } },
  });
  const { place } = await node.start('fleet/web', 4, bundle, web);
  await node.start(
    'fleet/other',
    5,
    bundle,
    manifestOf({ command: [SH, '-c', 'busybox sleep 1000'], env: { PATH: '/bin' } }),
  );
  const get = (url: string) => ['busybox', 'timeout', '4', 'busybox', 'wget', '-q', '-O', '-', url];
  const from = async (id: string, url: string) =>
    (await node.inside(id, ['/bin/busybox', 'timeout', '4', '/bin/busybox', 'wget', '-q', '-O', '-', url]))
      .stdout;

  await until(async () => (await outside(...get('http://10.93.0.1/'))).stdout === 'hello\n');
  t.is((await exec(...get(`http://${place.address}:81/`))).code, 0, 'the node itself asks for health');
  t.is(await from('fleet.web', 'http://10.93.0.2:8001/'), 'outside');
  t.regex(await from('fleet.web', 'http://10.93.0.2:8001/cgi-bin/who'), /:10\.93\.0\.1\b/, 'as its node');

  // Nobody answers: each waits until its time is over, so they do it together.
  const outsider = async (url: string) => (await outside(...get(url))).stdout;
  const tried: [what: string, got: Promise<string>][] = [
    ['not declared', outsider('http://10.93.0.1:81/')],
    ['not by its own address', outsider(`http://${place.address}/`)],
    ['not declared, to outside', from('fleet.web', 'http://10.93.0.2:8002/')],
    ['declared by another', from('fleet.other', 'http://10.93.0.2:8001/')],
    ['nor its neighbour', from('fleet.other', `http://${place.address}/`)],
    ['nor the node', from('fleet.web', 'http://10.93.0.1:8003/')],
    ['nor the node, by its gateway', from('fleet.web', `http://${place.gateway}:8003/`)],
  ];
  for (const [what, got] of tried) t.is(await got, '', what);

  // A packet with another's address, as if the rules of the instance's own namespace had failed: its answer would not
  // find back, so what is counted is what comes out.
  const count = ['nft', 'add', 'table', 'inet', 'seen', ';', 'add', 'chain', 'inet', 'seen', 'in'];
  const hook = '{ type filter hook input priority filter; }';
  const rule = ['add', 'rule', 'inet', 'seen', 'in', 'tcp', 'dport', '8002', 'counter'];
  await must('ip', 'netns', 'exec', 'outside', ...count, hook, ';', ...rule);
  const came = async () => {
    const { stdout } = await must('ip', 'netns', 'exec', 'outside', 'nft', 'list', 'table', 'inet', 'seen');
    return Number(/counter packets (\d+)/.exec(stdout)![1]);
  };
  await must('ip', 'netns', 'exec', place.interface, 'nft', 'flush', 'ruleset');
  t.is(await from('fleet.web', 'http://10.93.0.2:8002/'), 'outside', 'now its own rules let everything out');
  await must('ip', '-n', place.interface, 'address', 'add', '198.18.99.99/32', 'dev', 'eth0');
  const before = await came();
  t.true(before > 0);
  const spoof = ['curl', '-s', '-m', '3', '--interface', '198.18.99.99', 'http://10.93.0.2:8002/'];
  await exec('ip', 'netns', 'exec', place.interface, ...spoof);
  t.is(await came(), before, 'the node lets no other address pass');

  await node.stop('fleet.web');
  t.not((await outside(...get('http://10.93.0.1/'))).code, 0);
  t.is((await must('nft', 'list', 'map', 'inet', 'bootwave', 'published')).stdout.includes('80'), false);
});

test.serial(
  'an instance fills its own share of the table of connections, and not the one of the node',
  async (t) => {
    t.timeout(180_000);
    const bundle = await makeBundle(await scratch(t));
    const node = await box(t);
    const { must, exec } = node;
    // A wire at whose other end nobody answers.
    await must('ip', 'netns', 'add', 'outside');
    await must('ip', 'link', 'add', 'wire', 'type', 'veth', 'peer', 'name', 'wire', 'netns', 'outside');
    await must('ip', '-n', 'outside', 'link', 'set', 'wire', 'up');
    await must('ip', 'address', 'add', '10.93.0.1/24', 'dev', 'wire');
    await must('ip', 'link', 'set', 'wire', 'up');
    for (let i = 2; i < 10; i += 1)
      await must('ip', 'neigh', 'add', `10.93.0.${i}`, 'lladdr', '02:00:00:00:00:01', 'dev', 'wire');
    const { place } = await node.start(
      'fleet/chatty',
      6,
      bundle,
      manifestOf({
        ...{ command: [SH, '-c', 'busybox sleep 1000'], env: { PATH: '/bin' } },
        egress: [{ to: '10.93.0.0/24', protocol: 'udp' }],
      }),
    );
    const count = async () =>
      Number((await must('busybox', 'cat', '/proc/sys/net/netfilter/nf_conntrack_count')).stdout);
    const send = async (first: number, last: number, times = 1) => {
      const script = `const s = require('node:dgram').createSocket('udp4'); (async () => {
      for (let i = 0; i < ${times}; i += 1) for (let p = ${first}; p <= ${last}; p += 1)
        await new Promise((done) => s.send('x', p, '10.93.0.' + (2 + (p % 8)), () => done()));
      s.close(); })()`;
      await must('ip', 'netns', 'exec', place.interface, process.execPath, '-e', script);
    };
    // One that nobody answers is one, however much is sent.
    await send(1, 1, 2 * MOST_CONNECTIONS);
    t.true((await count()) < 10, `${await count()}`);
    await send(1, MOST_CONNECTIONS - 1000);
    t.true((await count()) > MOST_CONNECTIONS - 1010, `${await count()}`);
    await send(10_000, 10_000 + 2 * MOST_CONNECTIONS);
    const most = await count();
    t.true(most > MOST_CONNECTIONS - 10 && most < MOST_CONNECTIONS + 10, `${most}`);
    await node.stop('fleet.chatty');
    t.not((await exec('nft', 'list', 'table', 'inet', place.interface)).code, 0);
  },
);

test.serial('a stop is asked for politely first; a command that is no word of a shell is none', async (t) => {
  t.timeout(120_000);
  const node = await box(t);
  const bundle = await makeBundle(await scratch(t));
  const words = ['a b', '$HOME', '"', "'", '%n', 'x\ny', '`id`'];
  const show =
    'for w; do printf "<%s>" "$w"; done; echo; trap "echo bye; exit" TERM; while :; do sleep 1; done';
  const one = await node.start(
    'fleet/say',
    6,
    bundle,
    manifestOf({ command: [SH, '-c', show, '-', ...words], env: { PATH: '/bin' } }),
  );
  await until(async () => (await read(one.output)).includes('>\n'));
  t.is(await read(one.output), `${words.map((word) => `<${word}>`).join('')}\n`);
  await node.must('kill', '-TERM', (await read(join(node.folder, 'run/instances/fleet.say/pid'))).trim());
  await until(async () => (await read(one.output)).endsWith('bye\n'));
});
