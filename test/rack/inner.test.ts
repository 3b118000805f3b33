/**
 * The next Bootwave inside this one, on a real node: a whole fleet in one instance of a slice. It takes a good release and gives a bad
 * one back, its keys are deleted in the end, and neither the node nor what runs beside it notices.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { commandsOf, pageAt } from '../docs/pages.ts';
import { makeBundle } from '../image/agent/root/services/bundles.ts';
import { Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';
import { ended, startRollout } from '../support/rollout.ts';
import { fetched, release, shownBy } from '../support/services.ts';
import { snapshot } from '../support/snapshot.ts';
import { NODE, UPDATED, updatedRack } from '../support/updated.ts';

const MINUTE = 60_000;
const PROGRAM = join(import.meta.dirname, '../../bin/bootwave');
const COUNTER = `(i=0; while :; do i=$((i+1)); echo $i > /tmp/count.new; mv /tmp/count.new /tmp/index.html; sleep 1; done) &
exec busybox httpd -f -p 9090 -h /tmp`;

let rack: Rack;
let desk: string;
rackFor(
  test,
  'inner',
  async () => Rack.restore('inner', await snapshot(UPDATED, updatedRack)),
  async (made) => {
    rack = made;
    await rack.heard(NODE);
    desk = await mkdtemp(join(tmpdir(), 'bw-desk-'));
    await rack.until(NODE, ({ state }) => state === 'healthy');
  },
  { minutes: 90, gone: () => rm(desk, { recursive: true, force: true }) },
);

const outer = async (...args: string[]) => (await rack.bootwave(...args)).stdout;
const count = async () => Number(await shownBy(() => fetched(rack, NODE, 9090), /^\d+$/m, 5 * MINUTE));

test.serial('it is built, released, and at work in a slice on the node', async (t) => {
  t.timeout(60 * MINUTE);
  const bundle = await makeBundle(await mkdtemp(join(rack.paths.root, 'services-')));
  await release(rack, bundle, 'counter:1', COUNTER, {
    ports: [{ name: 'http', port: 9090 }],
    // A node of one processor has 75 % for services.
    limits: { memory: 32 * 2 ** 20, cpu: 5, tasks: 16 },
  });
  const neighbour = await startRollout(rack, { services: ['counter:1'], nodes: { all: true } });
  t.is((await ended(rack, neighbour)).rollout.state, 'done');
  t.true((await count()) > 0);
  const version = /bootwave:(\S+)/.exec((await rack.patiently('service', 'build', 'bootwave')).stdout)![1]!;
  const share = ['--cpu', '70', '--memory', '1024', '--disk', '256'];
  const ports = ['--port', 'tcp/7444', '--port', 'tcp/7445'];
  await outer(
    'slice',
    'create',
    'next',
    '--count',
    '1',
    ...share,
    ...ports,
    '--until',
    '14d',
    '--reason',
    'next',
  );
  await outer('slice', 'run', 'next', `bootwave:${version}`);
  const began = performance.now();
  // Until its order names it, nobody knows it.
  const top = () => outer('service', 'top', 'bootwave@next').catch((error: unknown) => `${error}`);
  const shown = await shownBy(top, / healthy /, 30 * MINUTE);
  t.regex(shown, / healthy /, await outer('slice', 'logs', 'next'));
  t.log(`${Math.round((performance.now() - began) / 1000)} s until it is well\n${shown}`);
});

test.serial('its own admin brings it a good release and a bad one, which goes back', async (t) => {
  t.timeout(60 * MINUTE);
  const { address } = (await rack.record(NODE)).observed;
  const page = await pageAt('docs/inner.md');
  const specs = page.blocks.filter(({ language }) => language === 'json').map(({ text }) => text);
  for (const [i, text] of specs.entries()) await writeFile(join(desk, ['good.json', 'bad.json'][i]!), text);
  const env = {
    ...process.env,
    ...{ BOOTWAVE_SERVER: `https://${address}:7444`, BOOTWAVE_OPERATOR: join(desk, 'inner.pem') },
    ...{ BOOTWAVE_DATA: join(desk, 'none'), BOOTWAVE_REDIS_URL: '', HOME: desk },
  };
  const inner = (line: string) =>
    rack.lab.inNamespace(PROGRAM, line.replaceAll('10.0.0.5', address).split(' ').slice(1), {
      ...{ env, cwd: desk, timeout: 20 * MINUTE },
    });
  let rollouts = 0;
  for (const line of commandsOf(page)) {
    if (line.startsWith('export')) continue;
    const { code, stdout, stderr } = await inner(line);
    t.is(code, line.includes('bad.json') ? 1 : 0, `${line}\n${stdout}${stderr}`);
    if (!line.includes('start')) continue;
    rollouts += 1;
    t.log(stdout.trim().split('\n').slice(-3).join('\n'));
    const all = /1\.1\.0/g;
    const nodes = await shownBy(
      async () => (await inner('bootwave node list')).stdout,
      /(?:healthy[^\n]* 1\.1\.0[^\n]*\n[\s\S]*){12}/,
      10 * MINUTE,
    );
    t.is(nodes.match(all)?.length, 12, nodes);
  }
  t.is(rollouts, 2);
  await rack.until(NODE, ({ state }) => state === 'healthy');
});

test.serial('it is broken, and its node, its neighbour and the fleet around it go on', async (t) => {
  t.timeout(40 * MINUTE);
  const before = await count();
  await outer('service', 'freeze', 'bootwave@next', '--reason', 'a rehearsal');
  t.is(await shownBy(() => fetched(rack, NODE, 7445, '/health'), /^$/, 5 * MINUTE), '');
  t.true((await count()) > before);
  await outer('service', 'resume', 'bootwave@next', '--reason', 'a rehearsal');
  t.regex(await shownBy(() => fetched(rack, NODE, 7445, '/health'), /./, 10 * MINUTE), /./);
  await outer('slice', 'delete', 'next', '--reason', 'done');
  t.is(await shownBy(() => fetched(rack, NODE, 7445, '/health'), /^$/, 10 * MINUTE), '');
  t.true((await count()) > before);
  await rack.until(NODE, ({ state }) => state === 'healthy');
});
