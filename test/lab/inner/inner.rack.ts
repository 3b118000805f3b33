/** A fleet inside an instance under crun: it rehearses a release, and what breaks in it stays in it. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { commandsOf, pageAt } from '../../docs/pages.ts';
import { type Built, builtIn, innerFleet, scratchFolder, until } from './support.ts';

const folder = await scratchFolder();
let built: Built;
test.before(async (t) => {
  t.timeout(15 * 60_000);
  built = await builtIn(folder);
});
test.after.always(() => rm(folder, { recursive: true, force: true }));

const MB = 2 ** 20;

test.serial(
  'who claims it commands it: a good release reaches all of its nodes, a bad one goes back',
  async (t) => {
    t.timeout(15 * 60_000);
    const fleet = await innerFleet(t, built, built.manifest.state!.bytes);
    const begun = performance.now();
    t.regex(built.version, /^\d+\.\d+\.\d+-[0-9a-f]{12}$/);
    await until(async () => (await fleet.health()).endsWith(' 200'), 'it is well');
    t.log(`${Math.round((performance.now() - begun) / 1000)} s to the first healthy node`);
    const cwd = await mkdtemp(join(folder, 'core-team-'));
    const page = await pageAt('docs/inner.md');
    const specs = page.blocks.filter(({ language }) => language === 'json').map(({ text }) => text);
    for (const [i, text] of specs.entries()) await writeFile(join(cwd, ['good.json', 'bad.json'][i]!), text);
    const bootwave = (line: string) => fleet.bootwave(cwd, line.replaceAll('10.0.0.5', '10.93.0.1'));
    const running = async () => {
      const { stdout, stderr } = await bootwave('bootwave node list --json');
      t.is(stderr, '');
      type Node = { state: string; observed: { image: string } };
      const { nodes } = JSON.parse(stdout) as { nodes: Node[] };
      return nodes.filter(({ state }) => state === 'healthy').map(({ observed }) => observed.image);
    };
    const all = (image: string) => async () =>
      (await running()).toString() === Array(12).fill(image).toString();
    const begins: string[] = [];
    for (const line of commandsOf(page)) {
      if (line.startsWith('export')) continue;
      const { code, stdout, stderr } = await bootwave(line);
      t.is(code, line.includes('bad.json') ? 1 : 0, `${line}\n${stdout}${stderr}`);
      begins.push(line.split(' ').slice(0, 3).join(' '));
      // Its machines came by DHCP, each to an address of its own.
      if (line.includes('lease'))
        t.is(new Set(stdout.match(/127\.77\.\d+\.\d+ +lo +52:54:01:00:00:0[0-9a-b] /g)).size, 12, stdout);
      if (line.includes('start')) await until(all('1.1.0'), `all run the good one after ${line}`);
    }
    t.true(
      begins.includes('bootwave lab claim') &&
        begins.includes('bootwave lease list') &&
        begins.filter((one) => one === 'bootwave rollout start').length === 2,
    );
    t.regex((await bootwave('bootwave lab claim 10.0.0.5 --out late.pem')).stderr, /INNER_CLAIMED/);
    // Its keys and records are kept: begun again, it is the same fleet.
    await fleet.again();
    await until(async () => (await fleet.health()).endsWith(' 200'), 'it is well again');
    await until(all('1.1.0'), 'it goes on');
  },
);

test.serial('broken in every way it is ill, and neither its neighbour nor the wire notices', async (t) => {
  t.timeout(20 * 60_000);
  const fleet = await innerFleet(t, built, 96 * MB);
  const well = async () => (await fleet.health()).endsWith(' 200');
  const ill = async () => !(await well());
  const { must } = fleet.node;
  const table = ['add', 'table', 'inet', 'seen', ';', 'add', 'chain', 'inet', 'seen', 'in'];
  const hook = '{ type filter hook input priority -300; }';
  // What begins a connection, so that answers of the neighbour do not count.
  const rule = [
    'add',
    'rule',
    'inet',
    'seen',
    'in',
    'ip',
    'saddr',
    '!=',
    '10.93.0.2',
    'ct',
    'state',
    'new',
    'counter',
  ];
  await must('ip', 'netns', 'exec', 'outside', 'nft', ...table, hook, ';', ...rule);
  const came = async () => {
    const list = ['nft', 'list', 'table', 'inet', 'seen'];
    const { stdout } = await must('ip', 'netns', 'exec', 'outside', ...list);
    return Number(/counter packets (\d+)/.exec(stdout)![1]);
  };
  await until(well, 'it is well');
  t.true(await fleet.neighbourIsWell());

  // Nothing of it reaches anybody: the wire, the node, link-local, a boot server, its neighbour.
  const before = await came();
  const targets = ['10.93.0.2', '10.93.0.1', '169.254.169.254', '198.18.0.8', '198.18.0.9', '8.8.8.8'];
  const dialled = await fleet.script(`
    const { connect } = require('node:net');
    const { createSocket } = require('node:dgram');
    const udp = createSocket('udp4');
    udp.bind(0, () => {
      udp.setBroadcast(true);
      for (const host of [...${JSON.stringify(targets)}, '255.255.255.255'])
        for (const port of [53, 67, 69, 623]) udp.send('x', port, host, () => {});
    });
    let left = 0;
    for (const host of ${JSON.stringify(targets)})
      for (const port of [22, 80, 443, 7080, 7443]) {
        left += 1;
        const socket = connect({ host, port }).setTimeout(4000, () => socket.destroy());
        socket.on('connect', () => console.log('reached', host, port)).on('error', () => {});
        socket.on('close', () => (left -= 1) === 0 && process.exit());
      }`);
  t.deepEqual({ code: dialled.code, stdout: dialled.stdout }, { code: 0, stdout: '' });
  t.is(await came(), before, 'no packet of it was on the wire');
  t.true(await well());

  // Its Redis is killed: it comes back by itself.
  const kill = (word: string, signal: string) => `
    const { readdirSync, readFileSync } = require('node:fs');
    for (const pid of readdirSync('/proc').filter((name) => /^\\d+$/.test(name)))
      if (readFileSync('/proc/' + pid + '/cmdline', 'latin1').includes(${JSON.stringify(word)}) && +pid !== process.pid)
        process.kill(+pid, '${signal}'), console.log(pid);`;
  const killed = await fleet.script(kill('redis-server', 'SIGKILL'));
  t.regex(killed.stdout, /^\d+\n/);
  await until(well, 'it is well again without its Redis');

  // Its disk is full.
  const fill = `const { openSync, writeSync } = require('node:fs'); const fd = openSync('/var/lib/bootwave/full', 'w');
    try { for (;;) writeSync(fd, Buffer.alloc(65536)); } catch (error) { console.log(error.code); }`;
  t.regex((await fleet.script(fill)).stdout, /^(ENOSPC|EDQUOT)\n$/);
  await until(ill, 'it is ill: nobody can be heard');
  t.true(await fleet.neighbourIsWell());
  await fleet.script(`require('node:fs').rmSync('/var/lib/bootwave/full')`);
  await until(well, 'it is well when there is room');

  // It forks until it may not any more.
  const fork = `const { spawn } = require('node:child_process');
    const begin = (...words) => spawn('/usr/bin/flock', ['-x', '/tmp/none', ...words], { detached: true, stdio: 'ignore' });
    let n = 0;
    const end = (why) => { console.log(why, n); process.exit(); };
    const more = () => begin('true').on('error', ({ code }) => end(code))
      .on('spawn', () => (n += 1) < 1000 ? more() : end('no end'));
    begin('/usr/bin/node', '-e', 'setTimeout(() => {}, 20000)').on('spawn', () => setTimeout(more, 2000));`;
  const forked = await fleet.script(fork);
  t.regex(forked.stdout, /^EAGAIN \d+\n/, forked.stderr);
  t.true((await fleet.limits.events()) > 0);
  t.true((await fleet.limits.current()) <= built.manifest.limits.tasks);
  t.true(await fleet.neighbourIsWell());

  // All of its nodes are gone at once: it ends, and goes on when it is begun again.
  await until(async () => (await fleet.script(kill('/lab/sim/program.ts', 'SIGKILL'))).code === 0, 'killed');
  await until(fleet.isOver, 'it is over');
  t.true(await fleet.neighbourIsWell());
  await fleet.again();
  await until(well, 'it is well when it was begun again');

  // Its keys are deleted: it is ill for good, and says why.
  await fleet.script(`require('node:fs').rmSync('/var/lib/bootwave/fleet/keys', { recursive: true })`);
  await fleet.again();
  await until(fleet.isOver, 'it ends');
  t.true(await ill());
  t.true(await fleet.neighbourIsWell());
  t.is(await came(), before, 'in all that, no packet of it was on the wire');
  await fleet.node.exec('curl', '-s', '-m', '1', 'http://10.93.0.2:9/');
  t.true((await came()) > before, 'what comes is counted');
});
