/** Systems outside, through the real door over TLS, on a real Redis, to the incident. */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as tlsConnect } from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import { keyLayout } from '../../../keys/layout.ts';
import { LoadedAuthorities } from '../../../orchestrator/authorities/loaded.ts';
import type { Incident } from '../../../orchestrator/fleet/decisions/incidents.ts';
import type { Site } from '../../../orchestrator/fleet/site.ts';
import { readGuard } from '../../../orchestrator/recovery/guard.ts';
import { decideIncident } from '../../../orchestrator/recovery/incidents.ts';
import { keepGuard } from '../../../orchestrator/recovery/keep-guard.ts';
import { Taken, takenFile } from '../../../orchestrator/recovery/taken.ts';
import { Watch } from '../../../orchestrator/recovery/watch.ts';
import { openWebhookDoor } from '../../../orchestrator/recovery/webhook-door.ts';
import { Reports, type Source, WEBHOOKS } from '../../../orchestrator/recovery/webhooks.ts';
import { serverIdentity } from '../../../orchestrator/up/server-certificate.ts';
import { SERVER_NAME } from '../../../protocol/enrolment/messages.ts';
import { webhookKeyIn } from '../../../protocol/webhook.ts';
import { until } from '../../support/until.ts';
import { enrolment, START, silent } from '../fleet/support.ts';
import { servicesFor } from '../services/world.ts';

const BY = { actor: 'operator:ann', at: START, reason: 'the IDS of the campus' };
const pair = () => generateKeyPairSync('ed25519');
const keyOf = (key: KeyObject) => webhookKeyIn(key.export({ type: 'spki', format: 'pem' }).toString())!;

/** @param knowing the server knows what it took before, as any but a new one does */
async function world(
  t: ExecutionContext,
  policy: Partial<Site['policy']> = { automation: 'repair' },
  { knowing = true } = {},
) {
  const found = await servicesFor(t);
  const { fleet, paths, bans } = found;
  await fleet.sites.set('default', policy, BY);
  await fleet.sites.add('munich', {}, BY);
  const stop = new AbortController();
  const { signal } = stop;
  const clock = { now: Date.now() };
  const now = () => clock.now;
  const guard = keepGuard({ fleet, log: silent, signal, every: 20 });
  while (guard.stopped('fence', { id: '' }) !== null) await sleep(10);
  const watch = new Watch({
    fleet,
    site: 'default',
    attestMinutes: 30,
    log: silent,
    now,
    breaker: guard.stopped,
  });
  const file = takenFile(paths);
  const reports = async () =>
    new Reports({ fleet, saw: (sight) => watch.saw(sight), taken: await Taken.open(file, now()), now });
  await mkdir(paths.bootserver, { recursive: true });
  if (knowing) await writeFile(file, '[]');
  let current = await reports();
  const authorities = await LoadedAuthorities.open(paths.keys, bans, silent, signal);
  const identity = await serverIdentity(authorities.signing('servers'), null);
  const door = await openWebhookDoor({
    ...{ port: 0, log: silent, signal, identity: { current: () => identity, onChange: () => {} } },
    reports: { take: (...said) => current.take(...said) },
  });
  t.teardown(async () => {
    stop.abort();
    await Promise.all([door.done, guard.done]);
  });
  const ca = await readFile(keyLayout(paths.keys).ca.root.certificate);
  /** As a program of somebody else's does it. */
  const post = async (
    path: string,
    headers: Record<string, string>,
    body: string | Buffer,
    method = 'POST',
  ) => {
    const options = {
      host: '127.0.0.1',
      port: door.port,
      path,
      method,
      ca,
      servername: SERVER_NAME,
      agent: false,
    };
    const asked = request({ ...options, headers: { ...headers, 'content-length': Buffer.byteLength(body) } });
    asked.end(body);
    const [answer] = await once(asked, 'response');
    let text = '';
    for await (const piece of answer) text += piece;
    await watch.settled();
    return {
      status: answer.statusCode as number,
      ...(JSON.parse(text) as { code?: string; taken?: boolean }),
    };
  };
  const { privateKey, publicKey } = pair();
  const source = (change: Partial<Source> = {}): Source => ({
    ...{ key: keyOf(publicKey), severity: 'serious', sites: ['default'], says: ['broken', 'suspected'] },
    ...change,
  });
  const lets = (change: Partial<Source> = {}) => WEBHOOKS.decide(fleet, 'ids', () => source(change), BY);
  let last = 0;
  type Said = {
    node?: string;
    says?: string;
    reason?: string;
    id?: string;
    key?: KeyObject;
    to?: string;
    at?: number;
  };
  const says = ({ node, says: what = 'broken', reason = 'it talks to strangers', ...more }: Said = {}) => {
    last += 1;
    const { id = `m${last}`, key = privateKey, to = 'ids', at = now() } = more;
    const body = JSON.stringify({ type: `node.${what}`, data: { node: node ?? enrolment(1).id, reason } });
    const time = String(Math.floor(at / 1000));
    const signature = sign(null, Buffer.from(`${id}.${time}.${body}`), key).toString('base64');
    const headers = { 'webhook-id': id, 'webhook-timestamp': time, 'webhook-signature': `v1a,${signature}` };
    return post(`/webhooks/${to}`, headers, body);
  };
  const member = async (n: number) => {
    const id = await found.member(n, []);
    // Until the guard has looked again nothing is done to whom it does not know.
    while (/^nobody has looked/.test(guard.stopped('repair', { id }) ?? '')) await sleep(10);
  };
  const incident = (n = 1) => fleet.decisions.incidents.of(enrolment(n).id);
  const restarted = async () => {
    current = await reports();
  };
  return {
    ...found,
    clock,
    post,
    source,
    lets,
    says,
    incident,
    restarted,
    file,
    privateKey,
    watch,
    port: door.port,
    ca,
    member,
  };
}

test('said twice, it is broken; what was said is kept as it was sent', async (t) => {
  const { member, lets, says, incident, fleet } = await world(t);
  await member(1);
  await lets();
  t.like(await says({ reason: 'port 443 is “closed” — since 3:00' }), { status: 200, taken: true });
  t.is(incident(), undefined, 'once is not enough');
  await says({ reason: 'still closed' });
  t.like(incident(), { road: 'broken', step: 'open', signal: 'reported' });
  t.regex(incident()!.evidence[0]!, /webhook ids \(serious, m1\): port 443 is “closed” — since 3:00$/);
  t.regex(incident()!.evidence[1]!, /still closed$/);
  t.like(await fleet.nodes.get(enrolment(1).id), { state: 'healthy' });
});

test('how much it counts is what people said of its source', async (t) => {
  for (const [severity, times] of [
    ['critical', 1],
    ['serious', 2],
    ['minor', 4],
  ] as const) {
    const { member, lets, says, incident } = await world(t);
    await member(1);
    await lets({ severity });
    for (let n = 1; n <= times; n += 1) {
      t.is(incident(), undefined, `${severity}, before ${n}`);
      await says();
    }
    t.like(incident(), { step: 'open' }, severity);
  }
});

test('suspected: a person is asked at once, also where nothing follows from signals, and nothing is done to the node', async (t) => {
  const { member, lets, says, incident, fleet, bans } = await world(t, { automation: 'off' });
  await member(1);
  await lets();
  await says();
  await says();
  t.is(incident(), undefined, 'its site does not repair by itself');
  await says({ says: 'suspected', reason: 'it mines coins' });
  t.like(incident(), { road: 'broken', step: 'person', signal: 'suspected' });
  t.is(bans.banOf({ id: enrolment(1).id }), null);
  t.like(await fleet.nodes.get(enrolment(1).id), { state: 'healthy' });
});

test('suspected while it is repaired: whoever looks finds it as it is', async (t) => {
  const { member, lets, says, incident } = await world(t);
  await member(1);
  await lets({ severity: 'critical' });
  await says();
  t.like(incident(), { step: 'open', signal: 'reported' });
  await says({ says: 'suspected' });
  t.like(incident(), { number: 1, step: 'person', signal: 'reported', suspected: true });
});

test('a suspicion makes no words of what a server has seen; what it sees later counts as seen, also where repairs stand still', async (t) => {
  const { member, lets, says, incident, watch, fleet } = await world(t);
  for (const n of [1, 2, 3, 4]) await member(n);
  await lets({ severity: 'critical' });
  const loops = async (n: number) => {
    for (const bootId of ['a', 'b', 'c', 'd'])
      watch.saw({ kind: 'boot', node: enrolment(n).id, at: Date.now(), bootId });
    await watch.settled();
  };
  await loops(1);
  t.like(incident(1), { step: 'open', signal: 'boot-loop' });
  await says({ says: 'suspected' });
  t.like(incident(1), { number: 1, step: 'person', signal: 'boot-loop', suspected: true });
  await says({ node: enrolment(2).id });
  await says({ node: enrolment(3).id, says: 'suspected' });
  t.deepEqual([incident(2)!.signal, incident(3)!.signal], ['reported', 'suspected']);
  const { trips } = await readGuard(fleet, Date.now());
  t.true(trips.some(({ act }) => act === 'repair'));
  for (const n of [2, 3, 4]) await loops(n);
  t.like(incident(2), { number: 1, step: 'open', signal: 'boot-loop' });
  t.like(incident(3), { number: 1, step: 'person', signal: 'boot-loop', suspected: true });
  t.is(incident(4), undefined, 'and none is begun');
});

test('who says it again and again keeps nobody else from being heard', async (t) => {
  const { member, lets, says, incident, fleet, source } = await world(t);
  await member(1);
  await lets();
  for (let n = 1; n <= 20; n += 1) await says({ says: 'suspected' });
  t.true(incident()!.evidence.length < 20, 'it fills no more than its room');
  const { number } = incident()!;
  const goesOn = (now: Incident | undefined): Incident => ({ ...now!, step: 'open' });
  await decideIncident(fleet, enrolment(1).id, goesOn, BY);
  const other = pair();
  await WEBHOOKS.decide(fleet, 'other', () => source({ key: keyOf(other.publicKey) }), BY);
  await says({ says: 'suspected', to: 'other', key: other.privateKey, reason: 'it mines coins' });
  t.like(incident(), { number, step: 'person', suspected: true });
  t.regex(incident()!.evidence.at(-1)!, /webhook other .* it mines coins$/);
});

test('of other nodes, other things, or with another key it may say nothing; it is not told which nodes there are', async (t) => {
  const { member, lets, says, incident } = await world(t);
  await member(1);
  t.like(await says(), { status: 401, code: 'WEBHOOK_SIGNATURE' }, 'nobody let it speak');
  await lets({ severity: 'critical', says: ['suspected'] });
  t.like(await says({ key: pair().privateKey }), { status: 401, code: 'WEBHOOK_SIGNATURE' });
  t.like(await says({ to: 'other' }), { status: 401, code: 'WEBHOOK_SIGNATURE' });
  t.like(await says(), { status: 403, code: 'WEBHOOK_SAYS' });
  t.like(await says({ node: 'nobody', says: 'suspected' }), { status: 404, code: 'WEBHOOK_NODE' });
  await lets({ severity: 'critical', sites: ['munich'] });
  t.like(await says(), { status: 404, code: 'WEBHOOK_NODE' });
  t.is(incident(), undefined);
});

test('what was taken once counts once, also after a restart, and where its sender has a clock that is ahead', async (t) => {
  const { member, lets, says, incident, clock, restarted } = await world(t);
  await member(1);
  await lets({ severity: 'minor' });
  clock.now = Math.ceil(clock.now / 1000) * 1000;
  const ahead = clock.now + 300_000;
  for (const id of ['a', '__proto__']) {
    t.like(await says({ id, at: ahead }), { status: 200, taken: true });
    t.like(await says({ id, at: ahead }), { status: 200, taken: false });
  }
  clock.now += 60_000;
  await restarted();
  for (const id of ['a', '__proto__']) {
    t.like(await says({ id, at: ahead }), { status: 200, taken: false });
    t.like(await says({ id }), { status: 200, taken: false }, 'signed anew it is the same message');
  }
  clock.now = ahead + 300_000;
  t.like(await says(), { status: 200, taken: true });
  t.like(await says({ id: 'a', at: ahead }), { status: 200, taken: false });
  clock.now += 1000;
  t.like(await says({ id: 'a', at: ahead }), { status: 401, code: 'WEBHOOK_TIME' });
  t.is(incident(), undefined);
});

test('a server that does not know what it took before takes nothing that may have been, and says when to come again', async (t) => {
  for (const lost of ['gone', 'no JSON', '[["a",1],2]']) {
    const { member, lets, says, clock, restarted, file } = await world(t, {}, { knowing: false });
    await member(1);
    await lets();
    const at = clock.now;
    t.like(await says(), { status: 503, code: 'WEBHOOK_LATER' });
    clock.now += 301_000;
    t.like(await says({ id: 'a', at: clock.now + 300_000 }), { status: 200, taken: true });
    if (lost === 'gone') await rm(file);
    else await writeFile(file, lost);
    await restarted();
    t.like(await says({ id: 'a', at: at + 601_000 }), { status: 503, code: 'WEBHOOK_LATER' });
    t.like(await says(), { status: 503, code: 'WEBHOOK_LATER' });
    clock.now += 301_000;
    t.like(await says(), { status: 200, taken: true });
  }
});

test('what was refused, or could not be kept, was not taken: it may be sent again', async (t) => {
  const { member, lets, says, incident, file } = await world(t);
  await lets({ severity: 'critical' });
  t.like(await says({ id: 'a' }), { status: 404, code: 'WEBHOOK_NODE' });
  await member(1);
  await rm(file);
  await mkdir(file);
  t.like(await says({ id: 'a' }), { status: 503, code: 'WEBHOOK_LATER' });
  t.is(incident(), undefined);
  await rm(file, { recursive: true });
  const both = await Promise.all([says({ id: 'a' }), says({ id: 'a' })]);
  t.deepEqual(both.map(({ taken }) => taken).toSorted(), [false, true]);
  t.like(incident(), { step: 'open' });
});

test('who owns Redis neither lets a source speak nor gives it more; one that was taken away is heard no more', async (t) => {
  const { member, lets, says, incident, fleet, redis } = await world(t);
  await member(1);
  await lets({ severity: 'minor' });
  const [key] = await redis.keys('*shelf*webhook*ids*');
  const forged = JSON.parse((await redis.hget(key!, 'body'))!);
  await redis.hset(
    key!,
    'body',
    JSON.stringify({ ...forged, value: { ...forged.value, severity: 'critical' } }),
  );
  t.like(await says(), { status: 200 });
  t.is(incident(), undefined);
  await WEBHOOKS.decide(fleet, 'ids', () => null, BY);
  await redis.hset(key!, 'body', JSON.stringify(forged));
  t.like(await says(), { status: 401, code: 'WEBHOOK_SIGNATURE' });
});

test('a source that says it of many nodes makes the automation stand still', async (t) => {
  const { member, lets, says, fleet, incident } = await world(t);
  for (let n = 1; n <= 5; n += 1) await member(n);
  await lets({ severity: 'critical' });
  for (let n = 1; n <= 5; n += 1) await says({ node: enrolment(n).id });
  t.deepEqual(
    [1, 2, 3, 4, 5].map((n) => incident(n)?.step),
    ['open', 'open', 'open', undefined, undefined],
  );
  const guard = await readGuard(fleet, Date.now());
  t.like(
    guard.trips.find(({ act }) => act === 'repair'),
    { code: 'many-of-site' },
  );
});

test('too much of it, too long, or elsewhere is refused, and the door goes on', async (t) => {
  const { member, lets, says, post, port, ca } = await world(t);
  await member(1);
  await lets();
  const size = { 'webhook-id': 'a', 'webhook-timestamp': '1', 'webhook-signature': 'v1a,A' };
  t.like(await post('/webhooks/ids', size, Buffer.alloc(16 * 1024 + 1)), {
    status: 413,
    code: 'WEBHOOK_LARGE',
  });
  t.like(await post('/webhooks/ids', size, Buffer.alloc(16 * 1024)), { status: 401 });
  // One that does not say how long it is.
  const endless = request({
    host: '127.0.0.1',
    port,
    path: '/webhooks/ids',
    method: 'POST',
    ca,
    servername: SERVER_NAME,
  });
  const gone = once(endless, 'response');
  endless.write(Buffer.alloc(64 * 1024));
  endless.end();
  await t.throwsAsync(gone, { code: 'ECONNRESET' });
  for (const path of ['/', '/webhooks/', '/webhooks/../ids', '/webhooks/IDS', `/webhooks/${'a'.repeat(64)}`])
    t.like(await post(path, size, '{}'), { status: 404, code: 'WEBHOOK_PATH' }, path);
  t.is((await post('/webhooks/ids', size, '{}', 'PUT')).status, 404);
  for (let n = 1; n <= 60; n += 1) t.is((await says({ node: 'nobody' })).status, 404);
  t.like(await says(), { status: 429, code: 'WEBHOOK_RATE' });
});

test('who floods what it says of a node pushes out nothing that was seen of it', async (t) => {
  const { member, lets, says, incident, watch } = await world(t, { automation: 'fence' });
  await member(1);
  await lets({ severity: 'minor', says: ['broken'] });
  const node = enrolment(1).id;
  const quote = () =>
    watch.saw({
      kind: 'caught',
      node,
      at: Date.now(),
      code: 'QUOTE_SIGNATURE',
      what: 'its signature is wrong',
    });
  quote();
  quote();
  await watch.settled();
  for (let n = 1; n <= 40; n += 1) await says();
  quote();
  await watch.settled();
  t.like(incident(), { road: 'compromised', signal: 'bad-quote' });
});

test('one stranger, with all connections that one may have, all of them slow, shuts the door to nobody else, and loses them', async (t) => {
  t.timeout(60_000);
  const { member, lets, says, port, ca } = await world(t);
  await member(1);
  await lets();
  const strangers = Array.from({ length: 70 }, () =>
    connect({ port, host: '127.0.0.1', localAddress: '127.9.9.9' }),
  );
  let open = strangers.length;
  for (const one of strangers)
    one
      .on('error', () => {})
      .on('close', () => {
        open -= 1;
      });
  await until(() => open <= 8);
  t.like(await says(), { status: 200, taken: true });
  // Who says a request byte by byte does not keep its place longer.
  for (const one of strangers) one.destroy();
  await until(() => open === 0);
  const from = { localAddress: '127.9.9.9' };
  const slow = tlsConnect({ port, host: '127.0.0.1', ca, servername: SERVER_NAME, ...from });
  const ended = new Promise((resolve) => slow.on('error', () => {}).on('close', resolve));
  await once(slow, 'secureConnect');
  slow.write('POST /webhooks/ids HTTP/1.1\r\n');
  const drip = setInterval(() => slow.write('x: y\r\n'), 500);
  slow.resume();
  t.is(await Promise.race([ended.then(() => 'cut off'), sleep(20_000, 'still open')]), 'cut off');
  clearInterval(drip);
  t.like(await says(), { status: 200, taken: true });
});
