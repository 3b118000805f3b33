/**
 * Services come to a real node by rollouts, without a restart: several in one, and a version that is ill goes back by
 * itself, with the state that it had spoiled. Meanwhile the node, which was saved and goes on here, is asked to attest.
 */
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { stopBootServer } from '../../lab/boot-server.ts';
import type { RolloutState } from '../../orchestrator/rollout/engine.ts';
import { makeBundle } from '../image/agent/root/services/bundles.ts';
import { Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';
import { ended, startRollout } from '../support/rollout.ts';
import { fetched, release } from '../support/services.ts';
import { snapshot } from '../support/snapshot.ts';
import { NODE, UPDATED, updatedRack } from '../support/updated.ts';

let rack: Rack;

rackFor(
  test,
  'services',
  async () => Rack.restore('services', await snapshot(UPDATED, updatedRack)),
  async (made) => {
    rack = made;
    // A server that wants to see its nodes every minute, which passes while they get their services.
    await stopBootServer(rack.lab);
    await rack.startServer(['--attest-every', '1']);
  },
  { minutes: 30 },
);

const SERVE = 'while :; do httpd -f -p 8080 -h /state; done';
const book = {
  ports: [{ name: 'http', port: 8080 }],
  state: { path: '/state', bytes: 2 ** 20 },
  health: { check: { kind: 'http', port: 8080, path: '/log' }, every: 1, failures: 2, grace: 5 },
};

/** What an operator reads of it. */
const told = async ({ setup }: RolloutState) => (await rack.bootwave('rollout', 'show', setup.id)).stdout;

test.serial(
  'two services by one rollout; a version that is ill goes back by itself, with its state as it was; no restart of the node',
  async (t) => {
    const bundle = await makeBundle(await mkdtemp(join(rack.paths.root, 'services-')));
    await release(rack, bundle, 'book:1', `echo one >> /state/log; ${SERVE}`, book);
    await release(rack, bundle, 'idle:1', 'sleep 100000');
    const before = await rack.record(NODE);
    await rack.heard(NODE);

    const first = await ended(
      rack,
      await startRollout(rack, { services: ['book:1', 'idle:1'], nodes: { all: true } }),
    );
    t.is(first.rollout.state, 'done', await told(first));
    const written = await fetched(rack, NODE, 8080, '/log');
    t.is(written, 'one\n');

    // It spoils what the one before wrote, and answers nobody.
    const spoil = 'echo two > /state/log; sleep 100000';
    const state = { ...book.state, migrates: true };
    await release(rack, bundle, 'book:2', spoil, { ...book, state });
    const bad = await ended(
      rack,
      await startRollout(rack, {
        services: ['book:2'],
        nodes: { all: true },
        timeouts: { activate: '10m', rollback: '10m', unhealthy: '5s' },
      }),
    );
    t.is(bad.rollout.state, 'failed', await told(bad));
    t.deepEqual(
      [...bad.nodes.values()].map(({ state: is }) => is),
      ['rolled-back'],
    );
    let log = '';
    for (const end = performance.now() + 120_000; log === '' && performance.now() < end; await sleep(1000))
      log = await fetched(rack, NODE, 8080, '/log');
    // What it wrote when it was started again.
    t.is(log, 'one\none\n');

    const after = await rack.until(NODE, ({ state: is }) => is === 'healthy');
    t.is(after.observed.bootId, before.observed.bootId);
  },
);

test.serial('its TPM quotes what it has booted, under the key that it enrolled with', async (t) => {
  const { id } = await rack.record(NODE);
  const attested = () => rack.fleet((fleet) => fleet.heard.lastAttestedOf(id));
  while ((await attested()) < rack.began) await sleep(500);
  const { observed } = await rack.until(NODE, ({ state }) => state === 'healthy');
  t.is(observed.attested.state, 'ok');
});
