import test from 'ava';
import fc from 'fast-check';
import type { PlanNode } from '../../../orchestrator/rollout/node.ts';
import { makePlan, type Plan, type PlanFacts, placeLateJoiner } from '../../../orchestrator/rollout/plan.ts';
import { planHash } from '../../../orchestrator/rollout/plan-hash.ts';
import { FACTS, fleetOf, node, planOf, specOf, WITH_BARRIER } from './fleet.ts';

const ids = (plan: Plan, wave: number) => plan.waves[wave]!.places.map((place) => place.node);
const refusalsOf = (fleet: PlanNode[], spec: Record<string, unknown>, facts: PlanFacts = FACTS, now = 0) => {
  const result = makePlan(fleet, specOf(spec), now, facts);
  return result.ok ? [] : result.refusals;
};

test('count, share and rest: canary first, from as many sites as it has nodes', (t) => {
  const plan = planOf(fleetOf(100, 10), { waves: [{ name: 'canary', take: 5 }, { take: '10%' }, {}] });
  t.deepEqual(
    plan.waves.map((wave) => [wave.name, wave.places.length]),
    [
      ['canary', 5],
      ['wave 2', 10],
      ['wave 3', 85],
      ['tail', 0],
    ],
  );
  t.is(new Set(plan.waves[0]!.places.map((place) => place.site)).size, 5);
});

test('a wave by selector takes only those, later waves the rest', (t) => {
  const fleet = fleetOf(20, 2, (i) => ({ labels: i < 4 ? { ring: 'zero' } : {} }));
  const plan = planOf(fleet, { waves: [{ select: { labels: { ring: 'zero' } } }, { take: '50%' }, {}] });
  t.deepEqual(ids(plan, 0).sort(), ['n00000', 'n00001', 'n00002', 'n00003']);
  t.is(plan.waves[1]!.places.length, 10);
  t.is(plan.waves[2]!.places.length, 6);
  // Whoever says "one" means one.
  const [over] = refusalsOf(fleet, { waves: [{ take: 1 }] });
  t.like(over, { field: 'waves[0].take' });
  t.regex(over!.reason, /leave 19 of 20 nodes over: add/);
});

test('who is skipped, and why', (t) => {
  const fleet = [
    node('ok'),
    node('there', { running: '2.0' }),
    node('retired', { state: 'retired' }),
    node('quarantined', { state: 'quarantined' }),
    node('waiting', { state: 'pending' }),
    node('burnt', { failedVersions: [{ version: '2.0', why: 'panic' }] }),
    node('busy', { rollout: 'r7' }),
    node('newer', { running: '3.0' }),
    node('floored', { floor: '2.1' }),
    node('mute', { running: null }),
    node('diskless', { mode: 'netboot', firmware: 'bios' }),
    node('no-tpm', { tpm: false }),
  ];
  const plan = planOf(fleet, { netboot: 'skip', gates: [{ kind: 'pcr11' }] });
  t.deepEqual(Object.fromEntries(plan.skipped.map((skip) => [skip.node, skip.code])), {
    there: 'already-there',
    retired: 'retired',
    quarantined: 'quarantined',
    waiting: 'not-a-member',
    burnt: 'failed-this-version',
    busy: 'in-another-rollout',
    newer: 'runs-newer',
    floored: 'below-floor',
    mute: 'unknown-source',
    diskless: 'netboot',
    'no-tpm': 'cannot-show-pcr11',
  });
  t.true(plan.skipped.every((skip) => skip.why.length > 0));
  t.deepEqual(
    plan.waves.flatMap((wave) => wave.places.map((place) => place.node)),
    ['ok'],
  );
});

test('a pinned node is moved to that image only; a configuration is no matter of pins, and a hold goes first', (t) => {
  const pinned = { image: '2.0', why: 'operator:ann pins it to 2.0: broken driver' };
  const fleet = [
    node('free'),
    node('pinned', { pinned }),
    node('both', { pinned, held: 'operator:ann holds it' }),
    node('there', { pinned, running: '3.0' }),
  ];
  const facts = (floor: string | null): PlanFacts => ({
    ...FACTS,
    graph: { ...FACTS.graph, floor, versions: [...FACTS.graph.versions, { version: '3.0' }] },
  });
  const skips = (spec: Record<string, unknown>, floor: string | null = null) =>
    Object.fromEntries(planOf(fleet, spec, facts(floor)).skipped.map(({ node, code }) => [node, code]));
  t.deepEqual(skips({ image: '3.0' }), { pinned: 'pinned', both: 'held', there: 'already-there' });
  t.deepEqual(skips({ image: '2.0' }), { both: 'held', there: 'runs-newer' });
  t.deepEqual(skips({ image: '2.0', downgrade: true }), { both: 'held' });
  t.deepEqual(skips({ image: undefined, config: 'c1' }), { both: 'held' });

  const why = (floor: string | null) =>
    planOf(fleet, { image: '3.0' }, facts(floor)).skipped.find(({ code }) => code === 'pinned')?.why;
  t.is(why(null), pinned.why);
  t.regex(
    why('3.0')!,
    /broken driver; but version 2\.0 is below the release floor 3\.0: .*node unpin pinned/,
  );
});

test('a configuration that a node failed on is not tried again', (t) => {
  const fleet = [node('ok'), node('burnt', { failedVersions: [{ version: 'c1', why: 'no network' }] })];
  const plan = planOf(fleet, { image: undefined, config: 'c1' });
  t.deepEqual(
    plan.skipped.map((skip) => [skip.node, skip.code]),
    [['burnt', 'failed-this-version']],
  );
});

test('offline and degraded nodes wait in the tail, never in the canary', (t) => {
  const fleet = [node('a', { state: 'unreachable' }), node('b', { state: 'degraded' }), node('c')];
  const plan = planOf(fleet, {});
  t.deepEqual(ids(plan, 0), ['c']);
  t.deepEqual(ids(plan, plan.waves.length - 1).sort(), ['a', 'b']);
  t.is(plan.waves.at(-1)!.kind, 'tail');
  t.false(plan.waves.at(-1)!.places.find((place) => place.node === 'a')!.reachable);
});

test('no wave gets a version that a chosen canary could not try', (t) => {
  const waves = [{ name: 'canary', select: { names: ['canary'] } }, { take: 'rest' }];
  const refused = (canary: Partial<PlanNode>) =>
    refusalsOf([node('canary', canary), node('a'), node('b')], { waves }).map(
      ({ field, reason }) => `${field}: ${reason}`,
    );
  t.regex(
    refused({ state: 'unreachable' })[0] ?? '',
    /^waves\[0\]\.select: none .*\(canary for one: offline/,
  );
  t.regex(
    refused({ failedVersions: [{ version: '2.0', why: 'panic' }] })[0] ?? '',
    /canary for one: .*panic/,
  );
  t.deepEqual(refused({}), []);
  t.deepEqual(refused({ running: '2.0' }), [], 'it has proven it already');
  const alone = [node('canary', { state: 'unreachable' })];
  t.deepEqual(refusalsOf(alone, { waves }), [], 'nobody else would get it');
});

test('a diskless node is moved by the network', (t) => {
  const plan = planOf([node('a', { mode: 'netboot', firmware: 'bios', tpm: false })], {});
  t.is(plan.waves[0]!.places[0]!.how, 'network');
  t.true(plan.warnings.some((warning) => warning.includes('BIOS')));
});

test('barriers: refused with the way out, passed in hops, or left out', (t) => {
  const fleet = [node('old'), node('mid', { running: '1.5' })];
  const refusals = refusalsOf(fleet, {}, WITH_BARRIER);
  t.is(refusals[0]?.field, 'barriers');
  t.regex(refusals[0]!.reason, /1 nodes \(old.*must pass through 1\.5/);
  const plan = planOf(fleet, { barriers: 'pass', waves: [{}] }, WITH_BARRIER);
  t.deepEqual(Object.fromEntries(plan.waves[0]!.places.map((place) => [place.node, place.hops])), {
    old: ['1.5', '2.0'],
    mid: ['2.0'],
  });
  const left = planOf(fleet, { barriers: 'skip' }, WITH_BARRIER);
  t.like(left.skipped[0], { node: 'old', code: 'barrier-ahead' });
});

const REVOKING: PlanFacts = {
  graph: {
    ...FACTS.graph,
    versions: [
      { version: '1.0' },
      { version: '1.5', barrier: true },
      { version: '2.0', revokes: ['0.9', '1.0'] },
      { version: '3.0', revokes: ['0.9', '1.0', '2.0'] },
    ],
  },
};

test('an image that revokes what a node would fall back to is refused, with the way out', (t) => {
  const [refusal] = refusalsOf(
    [node('b', { running: '1.5' }), node('a')],
    { barriers: 'pass' },
    {
      graph: { ...REVOKING.graph, versions: REVOKING.graph.versions.map((v) => ({ ...v, barrier: false })) },
    },
  );
  t.is(refusal?.field, 'image');
  t.regex(refusal!.reason, /^a comes from 1\.0, and 2\.0 revokes that at the firmware.*in between/);
});

test('an image in between is such a way, unless a step of it is not', (t) => {
  const plan = planOf([node('a')], { barriers: 'pass' }, REVOKING);
  t.deepEqual(plan.waves[0]!.places[0]!.hops, ['1.5', '2.0']);
  const through = { ...REVOKING.graph.versions[2]!, barrier: true };
  const graph = { ...REVOKING.graph, versions: REVOKING.graph.versions.with(2, through) };
  const [refusal] = refusalsOf(
    [node('b', { running: '1.5' })],
    { image: '3.0', barriers: 'pass' },
    { graph },
  );
  t.regex(refusal!.reason, /b comes from 2\.0, and 3\.0 revokes that/);
});

test('nodes that stay as they are, and configurations, are no matter of revoked images', (t) => {
  const fleet = [node('ok', { running: '1.5' }), node('gone', { state: 'retired' })];
  t.is(planOf(fleet, {}, REVOKING).waves[0]!.places[0]!.node, 'ok');
  const named = { ...REVOKING, configs: ['2.0'] };
  const configured = [node('a', { config: '1.0' })];
  t.notThrows(() => planOf(configured, { image: undefined, config: '2.0' }, named));
});

test('a node that joins late and could not fall back is left out', (t) => {
  const plan = planOf([node('a', { running: '1.5' })], { barriers: 'pass' }, REVOKING);
  const direct = REVOKING.graph.versions.map((version) => ({ ...version, barrier: false }));
  const facts = { graph: { ...REVOKING.graph, versions: direct } };
  t.like(placeLateJoiner(node('late'), plan, facts), { node: 'late', code: 'revoked-on-the-way' });
  t.like(placeLateJoiner(node('late', { running: '1.5' }), plan, facts), { hops: ['2.0'] });
});

test('refused with field and reason: what the fleet or the versions do not allow', (t) => {
  const fleet = fleetOf(4, 2);
  const first = (refusals: { field: string; reason: string }[]) =>
    `${refusals[0]?.field}: ${refusals[0]?.reason}`;
  t.regex(first(refusalsOf(fleet, { image: '9.9' })), /^image: .*not published/);
  t.regex(first(refusalsOf(fleet, { image: undefined, config: 'c9' })), /^config: .*not published/);
  t.regex(
    first(refusalsOf(fleet, { nodes: { site: 'mars' } })),
    /^nodes.site: mars: none of these has any node/,
  );
  t.regex(
    first(refusalsOf(fleet, { waves: [{ select: { role: 'db' } }] })),
    /^waves\[0\].select.role: db: none/,
  );
  const old = { ...FACTS.graph, floor: '2.1' };
  t.regex(first(refusalsOf(fleet, {}, { graph: old })), /^image: .*below the release floor 2\.1/);
  const dead = { ...FACTS.graph, versions: [{ version: '2.0', deadEnd: 'eats disks' }] };
  t.regex(first(refusalsOf(fleet, {}, { graph: dead })), /^image: .*dead end: eats disks/);
  const newer = fleetOf(2, 1, () => ({ running: '2.0' }));
  t.regex(first(refusalsOf(newer, { image: '1.0' })), /^image: .*newer.*set downgrade/);
  t.is(refusalsOf(newer, { image: '1.0', downgrade: true }).length, 0);
});

test('refused: a window that does not open in time, or never for a site', (t) => {
  const fleet = fleetOf(4, 2);
  const windows = [{ zone: 'UTC', days: ['sun'], from: '02:00', to: '03:00' }];
  const monday = Date.parse('2030-06-03T00:00:00Z');
  const late = refusalsOf(fleet, { windows, notAfter: '2030-06-04T00:00:00Z' }, FACTS, monday);
  t.is(late[0]?.field, 'windows');
  t.regex(late[0]!.reason, /first at 2030-06-09T02:00/);
  const elsewhere = refusalsOf(fleet, { windows: [{ ...windows[0], sites: ['s0'] }] }, FACTS, monday);
  t.deepEqual(elsewhere, [{ field: 'windows', reason: 'never opens for site s1' }]);
  t.is(refusalsOf(fleet, { notAfter: '2030-06-01T00:00:00Z' }, FACTS, monday)[0]?.field, 'notAfter');
  const result = makePlan(fleet, specOf({ windows }), monday, FACTS);
  t.true(result.ok && result.plan.opens.s0 === Date.parse('2030-06-09T02:00:00Z'));
});

test('disruption: how many of a site, rack and service are down at once at worst', (t) => {
  // Two sites of 8, racks of 4; service web on every node, db on one rack only.
  const fleet = fleetOf(16, 2, (i) => ({ services: i % 2 === 0 && i < 8 ? ['web', 'db'] : ['web'] }));
  const plan = planOf(fleet, { waves: [{}], limits: { whole: 5, site: 3, rack: 2 } });
  const { disruption } = plan.waves[0]!;
  t.is(disruption.atOnce, 5);
  t.deepEqual(
    disruption.sites.map((site) => [site.name, site.atOnce, site.of]),
    [
      ['s0', 3, 8],
      ['s1', 3, 8],
    ],
  );
  t.true(disruption.racks.every((rack) => rack.atOnce === 2 && rack.of === 4));
  t.like(
    disruption.services.find((service) => service.name === 'db'),
    { nodes: 4, atOnce: 2, of: 4 },
  );
  t.false(plan.warnings.some((warning) => warning.includes('altogether')));
  const harsh = planOf(fleet, { waves: [{}], limits: { whole: 16, site: 8, rack: 4 } });
  t.true(harsh.warnings.some((warning) => warning.includes('service db can be down altogether')));
});

test('order: spread over sites, site by site, or by name', (t) => {
  const fleet = fleetOf(40, 4);
  const sites = (order: string) =>
    planOf(fleet, { waves: [{}], order }).waves[0]!.places.map((place) => place.site);
  for (let i = 0; i < 40; i += 4) t.is(new Set(sites('spread').slice(i, i + 4)).size, 4);
  t.deepEqual(sites('site'), [...sites('site')].sort());
  const named = planOf(fleet, { waves: [{}], order: 'name' }).waves[0]!.places.map((place) => place.name);
  t.deepEqual(named, [...named].sort());
});

test('every eligible node is in exactly one wave, whatever the waves; and the fleet order does not matter', (t) => {
  const states = fc.constantFrom<PlanNode['state']>(
    'healthy',
    'healthy',
    'healthy',
    'unreachable',
    'retired',
  );
  const fleets = fc.array(
    fc.record({ state: states, site: fc.constantFrom('a', 'b', 'c'), old: fc.boolean() }),
    {
      minLength: 1,
      maxLength: 60,
    },
  );
  const take = fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constantFrom('5%', '12.5%', '33%'));
  const waves = fc.array(fc.record({ take }), { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(fleets, waves, fc.string({ maxLength: 8 }), (drawn, chosen, seed) => {
      const fleet = drawn.map((entry, i) =>
        node(`n${i}`, { state: entry.state, site: entry.site, running: entry.old ? '1.0' : '2.0' }),
      );
      const plan = planOf(fleet, { waves: [...chosen, {}], seed });
      const placed = plan.waves.flatMap((wave) => wave.places.map((place) => place.node));
      const skipped = plan.skipped.map((skip) => skip.node);
      t.deepEqual([...placed, ...skipped].sort(), fleet.map((entry) => entry.id).sort());
      t.deepEqual(planOf([...fleet].reverse(), { waves: [...chosen, {}], seed }), plan);
    }),
    { numRuns: 150 },
  );
});

test('another seed, another canary', (t) => {
  const fleet = fleetOf(200, 1);
  const canaries = new Set(['a', 'b', 'c', 'd'].map((seed) => ids(planOf(fleet, { seed }), 0)[0]));
  t.true(canaries.size > 1);
});

test('late joiners go to the tail, unless the spec ignores them or they are not eligible', (t) => {
  const plan = planOf(fleetOf(4, 2), { nodes: { site: ['s0', 's1'] } });
  t.like(placeLateJoiner(node('new', { site: 's0' }), plan, FACTS), { node: 'new', hops: ['2.0'] });
  t.is(placeLateJoiner(node('new', { site: 'far' }), plan, FACTS), null);
  t.like(placeLateJoiner(node('new', { site: 's0', running: '2.0' }), plan, FACTS), {
    code: 'already-there',
  });
  const ignoring = planOf(fleetOf(4, 2), { lateJoiners: 'ignore' });
  t.is(placeLateJoiner(node('new'), ignoring, FACTS), null);
});

test('what is misspelt beside what is right is refused, and so are approvers who do not exist', (t) => {
  const fleet = fleetOf(4, 2);
  const fields = (value: Record<string, unknown>, more = {}) =>
    refusalsOf(fleet, value, { ...FACTS, ...more }).map(({ field }) => field);
  t.deepEqual(fields({ nodes: { names: ['n00000', 'n0000l'] } }), ['nodes.names']);
  t.deepEqual(fields({ nodes: { site: ['s0', 'par'] } }), ['nodes.site']);
  t.deepEqual(fields({ nodes: { role: 'egde' } }).includes('nodes.role'), true);
  t.deepEqual(fields({ waves: [{ select: { site: ['s0', 'x'] } }, {}] }), ['waves[0].select.site']);
  t.deepEqual(fields({ nodes: { names: 'n*' } }), []);
  const approvals = { count: 1, from: ['operator:ann', 'operator:bne'] };
  t.deepEqual(fields({ approvals }, { people: ['operator:ann', 'operator:ben'] }), ['approvals.from']);
  t.deepEqual(fields({ approvals }), [], 'nobody is registered');
});

test('a gate that nobody can fail is refused', (t) => {
  const gates = [{ kind: 'service', names: ['web'] }];
  const [none] = refusalsOf(fleetOf(4, 2), { gates });
  t.like(none, { field: 'gates[0]' });
  t.is(
    refusalsOf(
      fleetOf(4, 2, () => ({ services: ['db'] })),
      { waves: [{ gates }] },
    )[0]?.field,
    'waves[0].gates[0]',
  );
  t.deepEqual(
    refusalsOf(
      fleetOf(4, 2, () => ({ services: ['web'] })),
      { gates },
    ),
    [],
  );
});

test('a plan is known by its hash: the same for the same moves, another when anything of it is', (t) => {
  const fleet = fleetOf(20, 2);
  const one = planOf(fleet, {});
  t.is(planHash(one), planHash(planOf([...fleet].reverse(), {})));
  t.is(planHash({ ...one, at: 5 }), planHash(one));
  t.not(planHash(planOf(fleet, { seed: 'x' })), planHash(one));
  t.not(planHash(planOf(fleet.slice(1), {})), planHash(one));
  t.not(planHash(planOf(fleet, { limits: { whole: 2 } })), planHash(one));
  t.not(planHash(planOf(fleet, { bake: { node: '1h' } })), planHash(one));
});
