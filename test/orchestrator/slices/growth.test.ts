/** Slices that grow when an instance asks: its secret, the real door, a real Redis, and the places. */
import { createHmac } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { request as httpsRequest } from 'node:https';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { type Slice, sliceKey } from '../../../orchestrator/fleet/decisions/slices.ts';
import { ROLLOUT_KEYS } from '../../../orchestrator/rollout/run/keys.ts';
import { SliceGrowth } from '../../../orchestrator/rollout/run/slices/grow.ts';
import { lookAtSlices, SliceMemory } from '../../../orchestrator/rollout/run/slices/keep.ts';
import { readState } from '../../../orchestrator/rollout/run/stored.ts';
import { SecretStore } from '../../../orchestrator/secrets/store.ts';
import { decideSlice, readSlice, type SliceWord, wordOf } from '../../../orchestrator/slices/store.ts';
import { PATHS } from '../../../protocol/enrolment/messages.ts';
import { GROWTH_LIFE, growthPurpose, growthToken } from '../../../protocol/service/growth.ts';
import { rewrite, rewriteNode } from '../../attack/redis/server.ts';
import { Fleet, serve } from '../../bootserver/enroll/support/fleet.ts';
import { silent } from '../fleet/support.ts';
import { secretsOn } from '../secrets/support.ts';
import { servicesFor } from '../services/world.ts';

const MIB = 2 ** 20;
const DAY = 24 * 3600_000;
const BY = { actor: 'operator:ann', at: 7 };
const SHOP = 'fleet/shop@probe';
const WORD: SliceWord = {
  ...{ state: 'live', where: {}, count: 1, perSite: null, teams: [], services: [`${SHOP}:1`], says: true },
  ...{
    share: { cpu: 1, memory: 16 * MIB, disk: 0, ports: [] },
    nodes: [],
    grow: 3,
    template: null,
    reason: '',
  },
  expires: Date.now() + 30 * DAY,
};

/** Nodes at 127.0.0.1, 127.0.0.2 and so on; the slice is on the first. */
async function growing(t: ExecutionContext, more: Partial<SliceWord> = {}) {
  t.timeout(120_000);
  const world = await servicesFor(t);
  const { fleet, redis, paths, member, release } = world;
  await release('shop:1');
  const ids: string[] = [];
  for (const n of [1, 2, 3, 4]) {
    const id = await member(n, n === 1 ? [`${SHOP}:1`] : []);
    await rewriteNode(redis, id, ({ observed }) => ({ observed: { ...observed, address: `127.0.0.${n}` } }));
    ids.push(id);
  }
  await decideSlice(fleet, 'probe', BY, 'made', () => ({ ...WORD, nodes: [ids[0]!], ...more }));
  const say = (change: Partial<Slice>) =>
    decideSlice(fleet, 'probe', BY, 'said', (known) => ({ ...wordOf(known!), ...change }));
  const store = new SecretStore(paths);
  const clock = { now: Date.now() };
  const growth = new SliceGrowth({ fleet, paths, store, now: () => clock.now });
  const tls = await Fleet.make();
  const server = await serve(tls, { grow: (asked) => growth.grow(asked) });
  t.teardown(async () => {
    await server.stop();
    await tls.remove();
  });
  const post = (body: unknown, from = '127.0.0.1') =>
    new Promise<Record<string, unknown>>((resolve, reject) => {
      const text = JSON.stringify(body);
      const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
      const options = {
        method: 'POST',
        rejectUnauthorized: false,
        localAddress: from,
        headers,
        agent: false,
      };
      httpsRequest(`${server.url}${PATHS.growth}`, options, async (answer) => {
        const came: Buffer[] = [];
        for await (const piece of answer) came.push(piece as Buffer);
        resolve(JSON.parse(Buffer.concat(came).toString()));
      })
        .on('error', reject)
        .end(text);
    });
  const keyOf = (node: string, instance = SHOP) => store.derived(growthPurpose({ node, instance }));
  /** As an application asks. @returns what it is told, or the code of the refusal */
  const ask = async (
    count: number,
    {
      from,
      key,
      ...change
    }: { node?: string; instance?: string; at?: number; from?: string; key?: Buffer } = {},
  ) => {
    const wish = { node: ids[0]!, instance: SHOP, at: clock.now, count, ...change };
    const token = growthToken(key ?? (await keyOf(ids[0]!)), wish);
    const told = await post({ ...wish, token }, from);
    return (told.error as { code?: string } | undefined)?.code ?? told;
  };
  /** A minute goes by. */
  const later = () => {
    clock.now += 60_000;
  };
  return { ...world, ids, say, post, ask, keyOf, clock, later };
}

test.serial(
  'an instance asks, and its slice has more nodes, which are brought what it runs; the history says who asked',
  async (t) => {
    const { ask, ids, fleet, redis, paths, later, keyOf } = await growing(t);
    t.deepEqual(await ask(2), { count: 2, nodes: 2 });
    const { nodes, by, grow } = await readSlice(fleet, 'probe');
    t.is(nodes.length, 2);
    t.true(nodes.includes(ids[0]!));
    t.deepEqual([by, grow], [`instance:${SHOP}`, 3]);
    const told = (await fleet.audit.read({})).filter(({ actor }) => actor === `instance:${SHOP}`);
    t.is(told.length, 1);
    t.regex(told[0]!.reason, /^slice probe has 2 of 2 nodes: asked for by shop@probe on node \S+$/);
    t.deepEqual(await ask(2), { count: 2, nodes: 2 }, 'again it changes nothing');
    t.deepEqual(await ask(1), { count: 2, nodes: 2 }, 'it never gets smaller');
    await lookAtSlices({ fleet, redis, paths, log: silent }, new SliceMemory());
    const [rollout] = await redis.smembers(ROLLOUT_KEYS.all);
    const fresh = nodes.find((id) => id !== ids[0])!;
    t.deepEqual([...(await readState(redis, rollout!)).nodes.keys()], [fresh]);
    // Where it has spread to it asks, too.
    later();
    const key = await keyOf(fresh);
    t.deepEqual(await ask(3, { node: fresh, key, from: `127.0.0.${ids.indexOf(fresh) + 1}` }), {
      count: 3,
      nodes: 3,
    });
  },
);

test.serial('never more than was said, than there is room for, or faster than once a minute', async (t) => {
  const { ask, later, fleet, say, member } = await growing(t, { grow: 5 });
  t.is(await ask(6), 'GROWTH_LIMIT');
  t.is(await ask(5), 'GROWTH_NO_ROOM', 'there are four nodes');
  t.is(await ask(2), 'GROWTH_PACE');
  later();
  t.deepEqual(await ask(2), { count: 2, nodes: 2 });
  t.is(await ask(3), 'GROWTH_PACE');
  await member(5, []);
  later();
  t.deepEqual(await ask(5), { count: 5, nodes: 5 });
  later();
  t.is(await ask(6), 'GROWTH_LIMIT');
  await say({ grow: undefined });
  t.is(await ask(6), 'GROWTH_LIMIT');
  t.is((await readSlice(fleet, 'probe')).nodes.length, 5);
});

test.serial(
  'a token counts for one wish, of one instance, from its node, for minutes, and while the slice runs it there',
  async (t) => {
    const { ask, ids, keyOf, clock, say, fleet, redis, post } = await growing(t);
    const own = await keyOf(ids[0]!);
    for (const key of [await keyOf(ids[1]!), await keyOf(ids[0]!, 'fleet/other@probe'), Buffer.alloc(32)])
      t.is(await ask(2, { key }), 'GROWTH_TOKEN');
    const wish = { node: ids[0]!, instance: SHOP, at: clock.now, count: 2 };
    const token = growthToken(own, wish);
    for (const change of [
      { count: 3 },
      { at: clock.now + 1 },
      { node: ids[1] },
      { instance: 'fleet/other@probe' },
    ])
      t.like(await post({ ...wish, token, ...change }), { error: { code: 'GROWTH_TOKEN' } });
    for (const off of [GROWTH_LIFE + 1, -GROWTH_LIFE - 1])
      t.is(await ask(2, { at: clock.now + off }), 'GROWTH_TIME');
    t.is(await ask(2, { from: '127.0.0.2' }), 'GROWTH_ADDRESS');
    // Good ones, of who is not of it.
    t.is(await ask(2, { node: ids[1]!, key: await keyOf(ids[1]!), from: '127.0.0.2' }), 'GROWTH_NODE');
    const other = 'fleet/other@probe';
    t.is(await ask(2, { instance: other, key: await keyOf(ids[0]!, other) }), 'GROWTH_SLICE');
    const foreign = 'fleet/shop@foreign';
    t.is(await ask(2, { instance: foreign, key: await keyOf(ids[0]!, foreign) }), 'GROWTH_SLICE');
    const plain = 'fleet/shop';
    t.is(await ask(2, { instance: plain, key: await keyOf(ids[0]!, plain) }), 'GROWTH_SLICE');
    await say({ services: [] });
    t.is(await ask(2), 'GROWTH_SLICE', 'its services were stopped');
    await say({ services: [`${SHOP}:1`], expires: clock.now });
    t.is(await ask(2), 'GROWTH_SLICE', 'it has expired');
    await say({ expires: clock.now + DAY });
    await fleet.retire(ids[0]!, 'sold', BY);
    t.is(await ask(2), 'GROWTH_NODE', 'the node has left');
    t.is((await readSlice(fleet, 'probe')).count, 1);
    t.deepEqual(await redis.smembers(ROLLOUT_KEYS.all), []);
  },
);

test.serial('whoever owns Redis lets no slice grow further', async (t) => {
  const { ask, redis, fleet } = await growing(t);
  await rewrite(redis, sliceKey('probe'), (body) => ({ ...body, grow: 400 }));
  t.regex((await redis.hget(sliceKey('probe'), 'body'))!, /"grow":400/);
  t.is(await ask(4), 'GROWTH_LIMIT');
  t.is((await readSlice(fleet, 'probe')).count, 1);
});

test.serial('whatever else is sent is refused with a code', async (t) => {
  const { post, fleet } = await growing(t);
  await fc.assert(
    fc.asyncProperty(
      fc.jsonValue(),
      fc.record({ node: fc.string(), count: fc.integer(), at: fc.double() }),
      async (a, b) => {
        for (const body of [a, { ...b, instance: SHOP, token: 'a'.repeat(64) }]) {
          const { error } = (await post(body)) as { error?: { code: string } };
          t.regex(error?.code ?? '', /^(?:BODY|GROWTH)_/);
        }
      },
    ),
    { numRuns: 30 },
  );
  t.is((await readSlice(fleet, 'probe')).count, 1);
});

test.serial(
  'the key comes as a secret of the instance, where the slice grows and the manifest names it',
  async (t) => {
    const { released, ordered, secrets, fleet, machine, store } = await secretsOn(t);
    const shop = await released('fleet/shop', '1.5', ['slice-growth', 'db-password']);
    const ours = { ...shop, name: SHOP };
    await store.set({ service: SHOP, name: 'db-password', site: null }, Buffer.from('x'), BY);
    const order = await ordered(1, [ours]);
    const give = async () => {
      const { size: _, ...service } = ours;
      const verdict = { attested: 'ok', reason: '', secureBoot: true } as const;
      return (await secrets.give({ id: machine.id, service, verdict, order })).values;
    };
    await t.throwsAsync(give(), { code: 'SECRETS_UNSET' });
    await decideSlice(fleet, 'probe', BY, 'made', () => ({ ...WORD, grow: undefined, nodes: [machine.id] }));
    await t.throwsAsync(give(), { code: 'SECRETS_UNSET' });
    await decideSlice(fleet, 'probe', BY, 'said', (known) => ({ ...wordOf(known!), grow: 2 }));
    const values = await give();
    t.deepEqual([...values.keys()].sort(), ['db-password', 'slice-growth']);
    const { node, instance, key } = JSON.parse(values.get('slice-growth')!.toString());
    t.deepEqual([node, instance], [machine.id, SHOP]);
    t.is(key, (await store.derived(growthPurpose({ node, instance }))).toString('hex'));
    t.is(await store.list().then((all) => all.filter(({ name }) => name === 'slice-growth').length), 0);
    const page = await readFile(new URL('../../../docs/slices.md', import.meta.url), 'utf8');
    t.true(page.includes('slice-growth'));
    // As the page has it, for a program without our code.
    const text = `bootwave growth 1\n${node}\n${instance}\n2\n1000`;
    const token = createHmac('sha256', Buffer.from(key, 'hex')).update(text).digest('hex');
    t.is(token, growthToken(Buffer.from(key, 'hex'), { node, instance, count: 2, at: 1000 }));
  },
);
