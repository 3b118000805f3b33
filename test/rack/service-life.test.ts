/**
 * A service on a node with a disk, by rollouts: what it keeps stays over a new image, a version whose day has come is
 * emptied to its successor by itself, and a secret reaches the one that names it.
 */
import { mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { publish } from '../../lab/bad-image.ts';
import { type Bundle, makeBundle } from '../image/agent/root/services/bundles.ts';
import { Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';
import { ended, startRollout } from '../support/rollout.ts';
import { fetched, release } from '../support/services.ts';
import { snapshot } from '../support/snapshot.ts';
import { NODE, UPDATED, updatedRack } from '../support/updated.ts';

const NEXT = '3.0.0';
const ALL = { nodes: { all: true } };
const SERVE = 'while :; do httpd -f -p 8080 -h /state; done';
const book = {
  ports: [{ name: 'http', port: 8080 }],
  state: { path: '/state', bytes: 2 ** 20 },
  health: { check: { kind: 'http', port: 8080, path: '/log' }, every: 2 },
};

let rack: Rack;
let bundle: Bundle;
rackFor(
  test,
  'service-life',
  async () => Rack.restore('service-life', await snapshot(UPDATED, updatedRack)),
  async (made) => {
    rack = made;
    bundle = await makeBundle(await mkdtemp(join(rack.paths.root, 'services-')));
    await rack.heard(NODE);
  },
  { minutes: 60 },
);

async function done(spec: object): Promise<string> {
  const { rollout, setup } = await ended(rack, await startRollout(rack, { ...ALL, ...spec }));
  return rollout.state === 'done' ? 'done' : (await rack.bootwave('rollout', 'show', setup.id)).stdout;
}

async function until(what: () => Promise<string>, is: string): Promise<string> {
  let last = '';
  for (const end = performance.now() + 10 * 60_000; last !== is && performance.now() < end; await sleep(1000))
    last = await what();
  return last;
}
const log = () => fetched(rack, NODE, 8080, '/log');

test.serial('a secret reaches the instance whose manifest names it, and no other', async (t) => {
  const show = (port: number) =>
    `cat /run/secrets/word > /tmp/index.html || echo none > /tmp/index.html; httpd -f -p ${port} -h /tmp`;
  const ports = (port: number) => ({ ports: [{ name: 'http', port }] });
  await release(rack, bundle, 'knows:1', show(8081), { ...ports(8081), secrets: ['word'] });
  await release(rack, bundle, 'asks:1', show(8082), ports(8082));
  const file = join(rack.paths.root, 'value');
  await writeFile(file, 'swordfish');
  await rack.bootwave('service', 'secret', 'set', 'knows', 'word', '--file', file);
  t.is(await done({ services: ['knows:1', 'asks:1'] }), 'done');
  t.is(await until(() => fetched(rack, NODE, 8081), 'swordfish'), 'swordfish');
  t.is(await until(() => fetched(rack, NODE, 8082), 'none\n'), 'none\n');
});

test.serial('what a service keeps is there after another image was installed and started', async (t) => {
  await release(rack, bundle, 'book:1', `echo one >> /state/log; ${SERVE}`, book);
  t.is(await done({ services: ['book:1'] }), 'done');
  t.is(await until(log, 'one\n'), 'one\n');
  await publish(rack.paths, NEXT, null);
  t.is(await done({ image: NEXT }), 'done');
  t.is(await until(log, 'one\none\n'), 'one\none\n');
});

// The last one: its rollout has the node until its bake is over.
test.serial('a version whose day has come is emptied to its successor by itself', async (t) => {
  await release(rack, bundle, 'book:2', `echo two >> /state/log; ${SERVE}`, book);
  const words = ['service', 'retire', 'book:1', '--successor', 'book:2', '--on', '0s', '--reason', 'test'];
  const dry = await rack.bootwave(...words, '--dry-run');
  t.regex(dry.stdout, /default/);
  await rack.bootwave(...words);
  const kept = 'one\none\ntwo\n';
  t.is(await until(log, kept), kept);
});
