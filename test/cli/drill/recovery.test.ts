/** Drills of recovery that begin by themselves, and those that must not; what a node does is said in its place. */
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { checkDrills } from '../../../orchestrator/doctor/drills.ts';
import type { IncidentStep } from '../../../orchestrator/fleet/decisions/incidents.ts';
import { Book } from '../../../orchestrator/power/book.ts';
import { beginPlan } from '../../../orchestrator/recovery/begin.ts';
import { setRules } from '../../../orchestrator/recovery/guard.ts';
import { decideIncident } from '../../../orchestrator/recovery/incidents.ts';
import { drillsLook, schedulesOf } from '../../../orchestrator/recovery/keep-drills.ts';
import { lookAtPlans } from '../../../orchestrator/recovery/keep-plans.ts';
import { endPlan, PLANS } from '../../../orchestrator/recovery/plans.ts';
import { REPORTS } from '../../../orchestrator/recovery/reports.ts';
import { nameOf, SCHEDULES } from '../../../orchestrator/recovery/schedule.ts';
import { signalled } from '../../../orchestrator/recovery/signalled.ts';
import { HOLDERS } from '../../../orchestrator/upkeep/holders.ts';
import { servicesFor } from '../../orchestrator/services/world.ts';
import { keptLog } from '../../support/kept-log.ts';
import { commandsOn } from '../in-process.ts';

const DAY = 86_400_000;
const by = { actor: 'operator:test', at: 1 };

/** Three members with BMCs that all run one service, at a site that may be wiped, with a drill every 30 days. */
async function site(t: ExecutionContext) {
  const world = await servicesFor(t);
  const { fleet, member, paths, release } = world;
  await release('chrony:4.3');
  await fleet.sites.set('default', { recovery: 'wipe' }, by);
  const book = new Book(paths);
  const ids: string[] = [];
  for (const n of [1, 2, 3]) {
    const id = await member(n, ['chrony:4.3']);
    ids.push(id);
    await book.set('default', {
      ...{ node: id, kind: 'redfish', host: '192.0.2.1', port: 443, user: 'u', password: 'p', pin: null },
      ...{ suite: null, claim: { uuids: [], serial: null }, unproven: false, by: 'operator:test', at: 1 },
    });
  }
  const { log, lines } = keptLog('warn');
  let now = Date.now();
  const signal = new AbortController().signal;
  const options = { fleet, paths, log, signal, now: () => now };
  const begin = drillsLook(options);
  const carry = () => lookAtPlans({ fleet, log, signal, now: () => now });
  const drills = async () =>
    (await PLANS.list(fleet))
      .filter(({ value }) => value.kind === 'drill')
      .sort((a, b) => a.value.startedAt - b.value.startedAt)
      .map(({ value }) => ids.indexOf(value.nodes[0]!.id));
  const move = (id: string, step: IncidentStep, reason = 'seen') => {
    now += 60_000;
    return decideIncident(fleet, id, (known) => ({ ...known!, step, reason }), { ...by, at: now });
  };
  const schedule = (every = 30 * DAY) =>
    SCHEDULES.decide(
      fleet,
      nameOf({ kind: 'recovery', site: 'default' }),
      () => ({ kind: 'recovery', site: 'default', every, hours: [0, 24] }),
      { ...by, at: now, reason: 'monthly' },
    );
  /** All are heard then, too. */
  const later = async (time: number) => {
    now += time;
    await heard();
  };
  const heard = () => fleet.redis.zadd('{bootwave}:seen', ...ids.flatMap((id) => [now, id]));
  const why = () => lines.findLast(({ code }) => code === 'DRILL_WAITS')?.reason ?? '';
  return { ...world, ids, begin, carry, drills, move, schedule, later, lines, why, book, now: () => now };
}

test('it begins by itself, takes another node each time, writes what became of it, and waits as long as it was said', async (t) => {
  const { begin, carry, drills, move, schedule, later, ids, fleet, lines } = await site(t);
  await begin();
  t.deepEqual(await drills(), [], 'nobody has said so');
  await schedule();
  for (const n of [0, 1, 2, 0]) {
    await begin();
    t.is((await drills()).at(-1), n);
    await begin();
    await carry();
    for (const step of ['wiping', 'wiped', 'returning', 'ended'] as const) await move(ids[n]!, step);
    await carry();
    await fleet.nodes.update(ids[n]!, (record) => ({
      outcome: { kind: 'changed', record: { ...record!, state: 'healthy' }, audit: [] } as never,
    }));
    const before = (await drills()).length;
    await later(29 * DAY);
    await begin();
    t.is((await drills()).length, before, 'not before the day');
    await later(2 * DAY);
  }
  const reports = (await REPORTS.list(fleet))
    .map(({ value }) => value)
    .sort((a, b) => a.startedAt - b.startedAt);
  t.is(reports.length, 4);
  // Of the later ones Redis has the lines at times that have not come yet here.
  t.deepEqual(
    reports[0]!.steps.map(([step]) => step),
    ['fenced', 'wiping', 'wiped', 'returning'],
  );
  t.true(reports.every(({ fault }) => fault === null));
  t.deepEqual(
    lines.filter(({ code }) => code === 'DRILL_FAILED' || code === 'DRILL_WAITS'),
    [],
  );
});

test('none begins while a rollout is there, the automation stands still, nobody has a BMC, or the site takes its word back', async (t) => {
  const { begin, drills, schedule, why, fleet, redis, ids, book, now } = await site(t);
  await schedule();
  await redis.hset(HOLDERS, ids[2]!, 'rollout-1');
  await begin();
  t.is(why(), 'rollout rollout-1 is under way at default');
  await redis.del(HOLDERS);
  await fleet.sites.set('default', { recovery: 'person' }, by);
  await begin();
  t.regex(String(why()), /nobody has said that machines of site default may be wiped/);
  await fleet.sites.set('default', { recovery: 'wipe' }, by);
  const records = await fleet.nodes.getMany([ids[0]!]);
  const other = { kind: 'plan' as const, site: 'default', atOnce: 1, records, reason: 'a delivery' };
  const { plan } = await beginPlan(fleet, other, { ...by, at: now() });
  await begin();
  t.is(why(), `plan ${plan} is under way at default`);
  await endPlan(fleet, plan, 'over', { ...by, at: now() });
  for (const id of ids) await book.remove(id);
  await begin();
  t.regex(String(why()), /has no BMC/);
  await setRules(fleet, { nodes: 1, least: 1 }, { ...by, reason: 'few' });
  const word = { signal: 'silent', road: 'broken' as const, evidence: ['not heard'], reason: 'not heard' };
  for (const node of ids.slice(1))
    await decideIncident(
      fleet,
      node,
      (known) => signalled(known, { node, name: node, site: 'default' }, word, now()),
      { ...by, at: now() },
    );
  await begin();
  t.regex(String(why()), /^the automation stands still: 2 nodes/);
  t.deepEqual(await drills(), []);
});

test('no node is taken that is the only one with a service, or that may keep state', async (t) => {
  const { begin, drills, schedule, why, release, order, ids, redis, now } = await site(t);
  await schedule();
  await release('db:1', { state: { path: '/var/lib/db', bytes: 2 ** 20 } } as never);
  await release('dns:1');
  await order(ids[0]!, ['db:1']);
  await order(ids[1]!, ['db:1']);
  await order(ids[2]!, ['dns:1']);
  await begin();
  t.regex(String(why()), /db may keep state on its disk/);
  t.regex(String(why()), /nobody else at default runs dns/);
  await order(ids[1]!, ['dns:1']);
  await redis.zadd('{bootwave}:seen', 1, ids[1]!);
  await begin();
  t.regex(String(why()), /is not well/);
  t.deepEqual(await drills(), []);
  await redis.zadd('{bootwave}:seen', now(), ids[1]!);
  await begin();
  t.deepEqual(await drills(), [1]);
});

test('one that fails is told in the log and by the doctor, and no other begins until its node is back', async (t) => {
  const { begin, carry, drills, move, schedule, later, ids, fleet, lines, why, paths } = await site(t);
  await schedule();
  await begin();
  await carry();
  await move(ids[0]!, 'person', 'its disk could not be wiped');
  await carry();
  await carry();
  const failed = lines.filter(({ code }) => code === 'DRILL_FAILED');
  t.is(failed.length, 1);
  t.like(failed[0], { kind: 'recovery', site: 'default', reason: 'person 1: its disk could not be wiped' });
  t.regex((await checkDrills(paths)).detail, /recovery of .* failed: person 1: its disk could not be wiped/);
  await later(31 * DAY);
  await begin();
  t.regex(String(why()), /is not back from a drill/);
  await later(31 * DAY);
  await begin();
  t.is(lines.filter(({ code }) => code === 'DRILL_OVERDUE').length, 1);
  t.deepEqual(await drills(), [0]);
  t.is((await REPORTS.list(fleet)).length, 1);
});

test('whoever owns Redis starts, stops and moves no drill', async (t) => {
  const { schedule, fleet, redis, begin, drills, now } = await site(t);
  const forged = JSON.stringify({
    ...{ name: 'recovery@default', epoch: 9, by: 'operator:ann', at: 1, reason: 'r' },
    value: { kind: 'recovery', site: 'default', every: DAY, hours: [0, 24] },
  });
  const key = '{bootwave}:shelf:drill-schedule:recovery@default';
  await redis.hset(key, { body: forged, state: 'known', epoch: '9' });
  await redis.sadd('{bootwave}:shelves:drill-schedule', 'recovery@default');
  await begin();
  t.deepEqual(await drills(), []);
  await redis.del(key);
  await schedule();
  t.is(await redis.exists(key), 1, 'this is where it is kept');
  await redis.hset(key, { body: forged, state: 'known', epoch: '9' });
  t.is((await schedulesOf(fleet, now()))[0]?.value.every, 30 * DAY);
  await redis.del(key, '{bootwave}:shelves:drill-schedule');
  t.is((await schedulesOf(fleet, now()))[0]?.value.every, 30 * DAY);
  await begin();
  t.is((await drills()).length, 1);
  await redis.del('{bootwave}:shelves:recovery-plan');
  await begin();
  t.is((await drills()).length, 1, 'that one has begun is not hidden');
});

test('two people schedule it, one ends it; a node is named or picked, never both', async (t) => {
  const { paths, ids, fleet } = await site(t);
  const bootwave = commandsOn(t, paths.root);
  for (const name of ['ann', 'bob'])
    await bootwave('root', 'operator', 'add', name, '--role', 'core', '--out', join(paths.root, name));
  const as = (name: string, ...args: string[]) => bootwave('root', '--as', join(paths.root, name), ...args);
  const said = ['--site', 'default', '--reason', 'r'];
  const set = ['drill', 'schedule', 'recovery', '--every', '30d', '--hours', '8-15', ...said];
  const { request } = (await as('ann', ...set, '--json')).value;
  t.deepEqual(await SCHEDULES.list(fleet), []);
  await as('bob', 'request', 'approve', request, '--yes');
  t.regex(
    (await as('ann', 'drill', 'schedules')).out,
    /^recovery at site default: every 30 days, 8 to 15 h UTC, as operator:bob said: r; next from/,
  );
  t.is(
    (await as('ann', 'drill', 'schedule', 'restore', '--every', '7d', '--reason', 'r')).code,
    '',
    'nothing is taken',
  );
  t.is((await as('ann', 'drill', 'schedule', 'restore', '--every', '7d', ...said)).code, 'INPUT_INVALID');
  t.is((await as('ann', 'drill', 'schedule', 'recovery', '--every', '1h', ...said)).code, 'INPUT_INVALID');
  t.regex((await as('ann', 'drill', 'unschedule', 'recovery', ...said)).out, /^restore: every 7 days/);
  t.is((await as('ann', 'drill', 'unschedule', 'recovery', ...said)).code, 'DRILL_UNSCHEDULED');
  t.is((await as('ann', 'drill', 'recovery', '--reason', 'r')).code, 'INPUT_INVALID');
  t.is(
    (await as('ann', 'drill', 'recovery', ids[0]!, '--pick', 'default', '--reason', 'r')).code,
    'INPUT_INVALID',
  );
  for (const id of ids) await as('ann', 'node', 'hold', id, '--reason', 'work', '--until', '2d');
  t.regex(
    (await as('ann', 'drill', 'recovery', '--pick', 'default', '--reason', 'r')).what,
    /a person holds it/,
  );
  await as('ann', 'node', 'unhold', ids[1]!);
  t.regex(
    (await as('ann', 'drill', 'recovery', '--pick', 'default', '--reason', 'r')).out,
    /^drill [0-9a-f]{8} of /,
  );
  t.is((await as('ann', 'drill', 'recovery', '--pick', 'default', '--reason', 'r')).code, 'DRILL_NOT_NOW');
});
