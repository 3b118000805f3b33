/** Issuing CAs changed under running nodes: real agents, real TLS, real Redis; no node is refused or silent meanwhile. */

import { generateKeyPairSync } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { z } from 'zod/mini';
import type { DataPaths } from '../../../base/paths.ts';
import { Agent } from '../../../image/agent/member/agent.ts';
import { BootServer } from '../../../image/agent/member/boot-server.ts';
import type { View } from '../../../image/agent/member/core/state.ts';
import { loadAuthority, spkiOf } from '../../../keys/authority.ts';
import { generationsOf, makeGeneration } from '../../../keys/generations.ts';
import type { AuthorityName } from '../../../keys/layout.ts';
import { sealerOf } from '../../../orchestrator/fleet/decisions/seal.ts';
import { Fleet } from '../../../orchestrator/fleet/fleet.ts';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { activate, prepare, revoke, showAuthorities, taint } from '../../../orchestrator/rotation/rotate.ts';
import { NODE_URI, PATHS } from '../../../protocol/enrolment/messages.ts';
import { helperOn, INVENTORY, RUNNING } from '../../bootserver/enroll/support/node.ts';
import { keysIn } from '../../support/keys.ts';
import { until } from '../../support/until.ts';
import { redisFor } from '../fleet/support.ts';
import { caShown, keeperOn, serverOn } from './support.ts';

const HOUR = 3600_000;

/** Each call as a command of its own: it reads what the machine knows, and is gone. */
function steps(paths: DataPaths, fleet: Fleet) {
  const options = async (force = false) => ({
    fleet,
    paths,
    bans: await keeperOn(paths, fleet),
    by: { actor: 'operator:t', at: Date.now() },
    reason: 'test',
    force,
  });
  return {
    prepare: async (ca: AuthorityName) => prepare(ca, await options()),
    activate: async (ca: AuthorityName, id?: string, force = false) => activate(ca, id, await options(force)),
    taint: async (ca: AuthorityName, id: string) => taint(ca, id, await options()),
    revoke: async (ca: AuthorityName, id: string, force = false) => revoke(ca, id, await options(force)),
    show: async (ca: AuthorityName) =>
      (await showAuthorities(paths, (await options()).bans.set, ca)).all.map(({ state }) => state),
  };
}

/** A real agent without a TPM, until the test ends. */
async function startNode(t: ExecutionContext, paths: DataPaths, n: number, port: () => number, root: string) {
  const folder = join(paths.root, `node-${n}`);
  await mkdir(folder);
  const helper = helperOn(folder, null);
  const gone = new AbortController();
  const views: View[] = [];
  const agent = new Agent({
    rootPem: root,
    askHelper: helper.askHelper,
    facts: async () => {
      const facts = await helper.facts();
      const nics = [{ ...INVENTORY.nics[0]!, mac: `52:54:00:00:01:0${n}` }];
      return { ...facts, hardware: { ...facts.hardware, nics } };
    },
    wipe: async () => ({ report: '{}', open: false }),
    showDisks: async () => '{}',
    discover: async () => [`https://127.0.0.1:${port()}`],
    heartbeat: async () => ({ running: RUNNING, uptime: 1, healthy: true, reason: '' }),
    show: (view) => views.push(view),
    now: Date.now,
    random: Math.random,
    signal: gone.signal,
  });
  const done = agent.run();
  t.teardown(async () => {
    gone.abort();
    await done;
  });
  return views;
}

test('nodes and servers CA follow one another through all four steps, and no node is refused or silent', async (t) => {
  const { redis, paths } = await redisFor(t);
  await keysIn(paths.keys);
  const fleet = new Fleet(redis, sealerOf(paths.keys));
  const server = await serverOn(t, paths, fleet);
  const { port, root } = server;
  const views = await Promise.all([1, 2, 3].map((n) => startNode(t, paths, n, () => port, root)));
  const nodes = async () => fleet.nodes.getMany(await fleet.nodes.ids());
  await until(async () => (await nodes()).length === 3);
  for (const { id, words } of await nodes())
    await fleet.approve(id, words, { actor: 'operator:t', at: Date.now() });
  await until(async () => (await nodes()).every(({ state }) => state === 'healthy'));
  const { prepare, activate, taint, revoke, show } = steps(paths, fleet);
  const loads = (id: string) => until(() => server.authorities.ids.includes(id));
  const [first] = await generationsOf(paths.keys, 'nodes');
  const old = first!.id;

  // The order is kept, and nobody is left behind.
  await t.throwsAsync(activate('nodes'), { code: 'CA_STATE' });
  await t.throwsAsync(taint('nodes', old), { code: 'CA_STATE' });
  await t.throwsAsync(revoke('nodes', old), { code: 'CA_STATE' });
  const { id } = await prepare('nodes');
  t.is((await prepare('nodes')).id, id, 'one at a time');
  const deaf = { server: 'other:1', at: Date.now(), loaded: [old], shows: '' };
  await redis.hset(KEYS.servers, 'other:1', JSON.stringify(deaf));
  await t.throwsAsync(activate('nodes'), { code: 'CA_NOT_LOADED', message: /other:1/ });
  await redis.hset(KEYS.servers, 'other:1', JSON.stringify({ ...deaf, at: deaf.at - HOUR }));
  await loads(id);
  await until(() =>
    activate('nodes').then(
      () => true,
      () => false,
    ),
  );
  await until(() => server.authorities.signing('nodes').id === id);
  await t.throwsAsync(revoke('nodes', old), { code: 'CA_STATE', message: /not tainted/ });
  await taint('nodes', old);
  await t.throwsAsync(revoke('nodes', old), { code: 'CA_HELD', message: /3 still hold .*: node-/ });
  await until(() =>
    revoke('nodes', old).then(
      () => true,
      () => false,
    ),
  );
  t.true((await nodes()).every(({ identity }) => identity.issuer === id && identity.previousSerial === null));
  t.deepEqual(await show('nodes'), ['revoked', 'active']);

  // Whoever has the old CA's key makes certificates that count for nothing.
  await until(() => server.authorities.nodes.all().some(({ worth }) => worth === 'revoked'));
  const [victim] = await nodes();
  const stolen = await loadAuthority(paths.keys, 'nodes');
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const forged = stolen.issue({
    spki: spkiOf(privateKey),
    commonName: 'x',
    uris: [`${NODE_URI}${victim!.id}`],
    usage: 'client',
    notBefore: new Date(Date.now() - HOUR),
    notAfter: new Date(Date.now() + HOUR),
  });
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const thief = new BootServer(`https://127.0.0.1:${port}`, root, {
    key,
    chain: forged.pem + stolen.chainPem,
  });
  t.teardown(() => thief.close());
  const beat = { running: RUNNING, uptime: 1, healthy: true, reason: '' };
  await t.throwsAsync(thief.post(PATHS.heartbeat, beat, z.any()), { code: 'CERTIFICATE_CA_REVOKED' });

  // The servers CA, under the same connections.
  const [shown] = await generationsOf(paths.keys, 'servers');
  t.is(await caShown(port, root), shown!.id);
  const next = await prepare('servers');
  await loads(next.id);
  await until(() =>
    activate('servers').then(
      () => true,
      () => false,
    ),
  );
  await until(async () => (await caShown(port, root)) === next.id);
  await taint('servers', shown!.id);
  await until(() =>
    revoke('servers', shown!.id).then(
      () => true,
      () => false,
    ),
  );
  const seen = (await nodes()).map(({ id }) => id);
  const beats = async () => Promise.all(seen.map((one) => redis.zscore(KEYS.seen, one)));
  const before = await beats();
  await until(async () => (await beats()).every((one, i) => Number(one) > Number(before[i])));

  t.deepEqual(await nodes().then((all) => all.map(({ state }) => state)), ['healthy', 'healthy', 'healthy']);
  const refused = (await fleet.audit.read()).filter(
    ({ action }) => action === 'refused' || action === 'lost',
  );
  t.deepEqual(
    refused.map(({ reason }) => reason.split(':')[0]),
    ['CERTIFICATE_CA_REVOKED'],
    'the thief alone',
  );
  for (const one of views) {
    const from = one.findIndex(({ phase }) => phase === 'healthy');
    for (const view of one.slice(from)) t.like(view, { phase: 'healthy', notice: null });
  }
});

test('a step that was cut off is taken up; a server that was killed comes back where it was', async (t) => {
  const { redis, paths } = await redisFor(t);
  await keysIn(paths.keys);
  const fleet = new Fleet(redis, sealerOf(paths.keys));
  const { prepare, activate, taint, show } = steps(paths, fleet);
  // Killed between the file and the line.
  const made = await makeGeneration(paths.keys, 'nodes');
  t.is((await prepare('nodes')).id, made.id);
  t.deepEqual(await show('nodes'), ['active', 'prepared']);
  const [first] = await generationsOf(paths.keys, 'nodes');
  for (const [step, state, worth] of [
    [() => activate('nodes'), ['old', 'active'], 'good'],
    [() => taint('nodes', first!.id), ['tainted', 'active'], 'tainted'],
  ] as const) {
    await step();
    t.deepEqual(await show('nodes'), state);
    // A server reads file and log; nothing of it was in memory only.
    const server = await serverOn(t, paths, fleet);
    t.is(server.authorities.signing('nodes').id, made.id);
    t.is(server.authorities.nodes.all()[0]?.worth, worth);
    await server.end();
  }
});
