/** What was tried on configurations by somebody with every right over Redis. */
import { generateKeyPairSync } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import type { Redis } from 'ioredis';
import { CONFIG_KEYS, listConfigs, publishConfig, readConfig } from '../../../orchestrator/config/store.ts';
import { sealDecided } from '../../../orchestrator/fleet/decisions/entry.ts';
import { type RolloutDecision, rolloutKey } from '../../../orchestrator/fleet/decisions/rollouts.ts';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { publish } from '../../../orchestrator/operations/config/acts.ts';
import { sign, signedKey } from '../../../orchestrator/orders/sign.ts';
import { makePlan } from '../../../orchestrator/rollout/plan.ts';
import { planNodes, publishedFor } from '../../../orchestrator/rollout/run/facts.ts';
import { ROLLOUT_KEYS } from '../../../orchestrator/rollout/run/keys.ts';
import { create } from '../../../orchestrator/rollout/run/operate.ts';
import { checkSpec } from '../../../orchestrator/rollout/spec.ts';
import { HOLDERS } from '../../../orchestrator/upkeep/holders.ts';
import { digestOf, makeDocument } from '../../../protocol/configuration/document.ts';
import { beatOfBoot, certificateFor, enrolment, redisFor } from '../../orchestrator/fleet/support.ts';
import { orderOf } from '../../orchestrator/signer/orders.ts';
import { realSigner } from '../../support/real-signer.ts';
import { server } from './server.ts';

const ANN = { actor: 'operator:ann', at: 5 };
const SAFE = '{"dns":["10.0.0.1"]}';
const UNSAFE = '{"dns":["6.6.6.6"]}';

async function published(t: Parameters<typeof redisFor>[0]) {
  const { redis } = await redisFor(t);
  const [one, two] = [
    await publishConfig(redis, UNSAFE, '1.0', ANN),
    await publishConfig(redis, SAFE, '2.0', ANN),
  ];
  const put = (version: string, body: object) =>
    redis.hset(CONFIG_KEYS.config(version), 'body', JSON.stringify(body));
  return { redis, one, two, put };
}

test('replayed: the record of an older version stands under the name of a newer one; it is not delivered', async (t) => {
  const { redis, one, two, put } = await published(t);
  await put('2.0', one);
  await t.throwsAsync(readConfig(redis, '2.0'), { code: 'CONFIG_DAMAGED' });
  await put('2.0', { ...one, version: '2.0' });
  await t.throwsAsync(readConfig(redis, '2.0'), { code: 'CONFIG_DAMAGED' }, 'the document says which it is');
  await put('2.0', { ...two, sha256: one.sha256 });
  await t.throwsAsync(readConfig(redis, '2.0'), { code: 'CONFIG_DAMAGED' });
});

test('deleted: the list, or a record; what is left is shown, and what is gone can be published again', async (t) => {
  const { redis, two } = await published(t);
  await redis.del(CONFIG_KEYS.config('1.0'));
  t.deepEqual(
    (await listConfigs(redis)).map(({ version }) => version),
    ['2.0'],
  );
  await redis.del(CONFIG_KEYS.all, CONFIG_KEYS.config('2.0'));
  t.is((await publishConfig(redis, SAFE, '2.0', ANN)).sha256, two.sha256);
});

test('forged: a whole document of their own is read, and has another digest than any that people published', async (t) => {
  const { redis, one, two, put } = await published(t);
  const document = makeDocument(JSON.parse(UNSAFE), '2.0');
  await put('2.0', { ...two, document: document.toString('utf8'), sha256: digestOf(document) });
  const { sha256 } = await readConfig(redis, '2.0');
  t.false([one.sha256, two.sha256].includes(sha256), 'the signer signs no order that names it');
});

const NODE = enrolment(1).id;
const NO = 'SIGNER_CONFIG_UNDECIDED';

/** A fleet whose node runs 1.0, the signer of its server, and what a person does with configurations. */
async function fleet(t: ExecutionContext) {
  const world = await server(t);
  const { redis, paths, admit, directory } = world;
  const { privateKey } = generateKeyPairSync('ed25519');
  const signer = await realSigner(paths, privateKey, {});
  t.teardown(signer.close);
  const one = enrolment(1, 1, { running: { version: '1.0', kernel: '6.1.0', bootId: 'boot-1-1' } });
  await admit(one);
  await directory.heartbeat(one.id, certificateFor(one).serial, beatOfBoot(one, { healthy: true }));
  const acting = { fleet: world.fleet, by: ANN, paths } as never;
  const digests: { [version: string]: string } = {};
  for (const [version, text] of [
    ['lax', UNSAFE],
    ['safe', SAFE],
    ['other', '{"ntp":["10.0.0.2"]}'],
  ] as const)
    digests[version] = (await publish({ text, version }, acting)).sha256;
  let epoch = 0;
  /** What a server asks for in good faith, of what stands in Redis. */
  const ordered = async (version: string | null, node = NODE) => {
    epoch += 1;
    const config = version === null ? null : digests[version]!;
    return sign(redis, signer.client, orderOf({ node, epoch, image: null, config }, Date.now())).then(
      () => 'signed',
      ({ code }: { code?: string }) => code,
    );
  };
  const start = async (config: string, nodes: object = { all: true }) => {
    const checked = checkSpec({ config, nodes, waves: [{}] });
    if (!checked.ok) throw new Error(JSON.stringify(checked.refusals));
    const { facts, images } = await publishedFor(world.fleet, paths.images, checked.spec);
    const made = makePlan(await planNodes(world.fleet, []), checked.spec, Date.now(), facts);
    if (!made.ok) throw new Error(JSON.stringify(made.refusals));
    return create(redis, made.plan, images, { author: ANN.actor, at: ANN.at, start: true });
  };
  /** As the engine does at its end. */
  const end = async (id: string) => {
    const { decisions } = world.fleet;
    const ended = { ...decisions.rollouts.of(id)!, state: 'ended' } as const;
    await decisions.commit({ records: [] }, [decisions.rollout(id, ended, ANN, 'done')]);
    await redis.del(ROLLOUT_KEYS.rollout(id), HOLDERS);
  };
  return { ...world, acting, signer, digests, ordered, start, end };
}

async function readDecision(redis: Redis, id: string): Promise<RolloutDecision> {
  const [[, [, text]]] = (await redis.xrevrange(KEYS.bans, '+', '-', 'COUNT', 1)) as [
    [string, [string, string]],
  ];
  const { key, body } = JSON.parse(text) as { key: string; body: string };
  if (key !== rolloutKey(id)) throw new Error(key);
  return JSON.parse(body) as RolloutDecision;
}

test('a rollout that was started brings nodes its configuration, and takes them back; what is decided ends with it', async (t) => {
  const { ordered, start, end } = await fleet(t);
  t.is(await ordered(null), 'signed', 'a new member has none');
  t.is(await ordered('safe'), NO);
  const first = await start('safe');
  t.is(await ordered('safe'), 'signed');
  t.is(await ordered(null), 'signed', 'the way back');
  t.is(await ordered('safe'), 'signed');
  await end(first);
  t.is(await ordered('safe'), 'signed', 'it stays, whoever orders something else of it');
  t.is(await ordered(null), NO);
  const second = await start('other');
  t.is(await ordered('other'), 'signed');
  t.is(await ordered('safe'), 'signed', 'the way back');
  t.is(await ordered(null), NO);
  await end(second);
  t.is(await ordered('other'), NO);
});

test('rewritten: the order of a node names an older, laxer configuration that people have published, or none', async (t) => {
  const { ordered, start, end } = await fleet(t);
  const lax = await start('lax');
  t.is(await ordered('lax'), 'signed');
  await end(lax);
  const safe = await start('safe');
  t.is(await ordered('safe'), 'signed');
  await end(safe);
  for (const version of ['lax', 'other', null]) t.is(await ordered(version), NO, String(version));
  // The one that other nodes get now.
  await start('other');
  t.is(await ordered('lax'), NO);
  t.is(await ordered(null), NO);
});

test('rewritten: what nodes had when a rollout was planned; they go back to what they were signed', async (t) => {
  const { redis, digests, ordered, start, end } = await fleet(t);
  const safe = await start('safe');
  t.is(await ordered('safe'), 'signed');
  await end(safe);
  const order = { config: digests.lax, epoch: 7 };
  await redis.hset(`{bootwave}:order:${NODE}`, 'body', JSON.stringify({ order }));
  const other = await start('other');
  t.deepEqual((await readDecision(redis, other)).from, ['lax'], 'the lie is in the plan');
  t.is(await ordered('other'), 'signed');
  t.is(await ordered('lax'), NO);
  t.is(await ordered('safe'), 'signed');
});

test('replayed: a rollout of what a node has is no way back to what it had before', async (t) => {
  const { ordered, start, end } = await fleet(t);
  for (const version of ['lax', 'safe']) {
    const id = await start(version);
    t.is(await ordered(version), 'signed');
    await end(id);
  }
  await start('safe');
  t.is(await ordered('lax'), NO);
  t.is(await ordered('safe', `tpm-${'e'.repeat(64)}`), 'signed', 'one that joins');
});

test('forged: a rollout of a configuration in the log of decisions', async (t) => {
  const { redis, bans, ordered, start } = await fleet(t);
  t.is(await ordered(null), 'signed');
  const real = await start('safe');
  const [[, fields]] = (await redis.xrevrange(KEYS.bans, '+', '-', 'COUNT', 1)) as [[string, string[]]];
  const { actor, at } = ANN;
  const decision = { ...(await readDecision(redis, real)), on: ['lax'] };
  const forged = { kind: 'record', actor, at, reason: 'x', epoch: 999 } as const;
  for (const id of [real, 'ro-f0f0f0f0']) {
    const entry = sealDecided({ ...forged, key: rolloutKey(id), body: JSON.stringify(decision) });
    await redis.xadd(KEYS.bans, '*', 'entry', entry.text, 'seal', fields[3]!);
  }
  await bans.look();
  t.is(await ordered('lax'), NO);
  t.is(await ordered('safe'), 'signed');
});

test('planted: values that are no envelopes, and none that another server signed', async (t) => {
  const { redis, ordered } = await fleet(t);
  t.is(await ordered(null), 'signed');
  const envelope = JSON.parse((await redis.get(signedKey(NODE)))!) as { payload: string };
  const order = JSON.parse(Buffer.from(envelope.payload, 'base64').toString()) as object;
  const payload = Buffer.from(JSON.stringify({ ...order, epoch: 9, config: 'a'.repeat(64) })).toString(
    'base64',
  );
  for (const text of ['x'.repeat(1024 * 1024), '{', '[]', JSON.stringify({ ...envelope, payload })]) {
    await redis.set(signedKey(NODE), text);
    t.is(await ordered('lax'), NO);
  }
});

test('deleted, and published again in other words: a version that people on this machine know stays what it is', async (t) => {
  const { redis, acting } = await fleet(t);
  await redis.del(CONFIG_KEYS.all, CONFIG_KEYS.config('safe'));
  await t.throwsAsync(publish({ text: UNSAFE, version: 'safe' }, acting), { code: 'CONFIG_VERSION_EXISTS' });
  t.is(await redis.exists(CONFIG_KEYS.config('safe')), 0);
  t.is((await publish({ text: SAFE, version: 'safe' }, acting)).version, 'safe');
});

test('rewritten: the nodes of a rollout that is for one site, or for some by their names; no other one is given it', async (t) => {
  const { at, fleet: own, admit, ordered, start, end } = await fleet(t);
  await own.sites.add('munich', {}, ANN);
  const away = enrolment(2);
  await at('munich').enrol(away);
  await own.approve(away.id, away.words, ANN, 'edge-2');
  await admit(enrolment(3));
  for (const nodes of [{ site: 'default' }, { names: ['node-*'] }]) {
    const id = await start('safe', nodes);
    t.is(await ordered('safe', away.id), NO, JSON.stringify(nodes));
    await end(id);
  }
  await start('safe', { site: ['default', 'munich'] });
  for (const { id } of [away, enrolment(1), enrolment(3)]) t.is(await ordered('safe', id), 'signed');
});
