/** A disk that is full when something is decided: it is refused with a code, and Redis and the log agree. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { mustRun, run } from '../../../../base/run.ts';
import { banNode } from '../../../../orchestrator/fleet/bans/act.ts';
import { beginDecisions } from '../../../../orchestrator/fleet/decisions/confirm.ts';
import { Kept } from '../../../../orchestrator/fleet/decisions/kept.ts';
import { openFleet } from '../../../../orchestrator/operators/bans-of.ts';
import { makePlan } from '../../../../orchestrator/rollout/plan.ts';
import { planNodes } from '../../../../orchestrator/rollout/run/facts.ts';
import { create, operate } from '../../../../orchestrator/rollout/run/operate.ts';
import { setTemplate } from '../../../../orchestrator/rollout/run/templates.ts';
import { checkSpec } from '../../../../orchestrator/rollout/spec.ts';
import { by, directoryOf } from '../../../attack/redis/server.ts';
import { keysIn } from '../../../support/keys.ts';
import { FACTS, IMAGES, VERSIONS } from '../../rollout/run/support.ts';
import { beatOfBoot, certificateFor, enrolment, redisFor, silent } from '../support.ts';

const running = { version: '1.0', kernel: '6.1.0', bootId: 'boot-1-1' };

/** A server whose log has a disk of its own, with a member on it. */
async function server(t: ExecutionContext) {
  const { redis, paths } = await redisFor(t);
  await keysIn(paths.keys);
  const root = join(paths.root, 'small');
  await mkdir(root);
  await mustRun('mount', ['-t', 'tmpfs', '-o', 'size=512k', 'tmpfs', root]);
  t.teardown(() => run('umount', ['-l', root]));
  const { fleet, bans } = await openFleet({ ...paths, root }, redis, silent);
  await beginDecisions(fleet, silent, by);
  const directory = directoryOf(fleet);
  const one = enrolment(1, 1, { running });
  await directory.enrol(one);
  await fleet.approve(one.id, one.words, by);
  await directory.recordCertificate(one.id, certificateFor(one));
  await directory.heartbeat(one.id, certificateFor(one).serial, beatOfBoot(one, { healthy: true }));
  await directory.enrol(enrolment(2));
  const filler = join(root, 'filler');
  const fill = () => writeFile(filler, Buffer.alloc(1 << 20)).catch(() => {});
  const room = join(root, 'bans.log.room');
  /** What a person decides on later finds the disk full, and nothing kept for it. */
  const full = async () => {
    await rm(room, { force: true });
    await fill();
  };
  const empty = () => rm(filler, { force: true });
  /** Everything in Redis. */
  const held = async () => {
    const keys = (await redis.keys('*')).sort();
    return Promise.all(
      keys.map(async (key) => `${key} ${(await redis.dumpBuffer(key))?.toString('base64')}`),
    );
  };
  /** What a server believes that reads nothing but the disk, and one that reads nothing but Redis. */
  const both = async () => {
    const kept = new Kept();
    for (const line of (await readFile(join(root, 'bans.log'), 'utf8')).split('\n')) kept.add(line);
    const ids = (all: readonly { id: string }[]) => all.map(({ id }) => id).sort();
    return {
      disk: ids(kept.set.entries),
      redis: ids((await fleet.decisionLog.set()).entries),
      torn: kept.torn,
    };
  };
  const begin = async (person: string, start = true) => {
    const spec = checkSpec({
      ...{ image: '2.0', nodes: { all: true }, waves: [{}] },
      ...(start ? {} : { approvals: { count: 1 } }),
    });
    if (!spec.ok) throw new Error(JSON.stringify(spec.refusals));
    const made = makePlan(await planNodes(fleet, VERSIONS), spec.spec, by.at, FACTS);
    if (!made.ok) throw new Error(JSON.stringify(made.refusals));
    const who = { author: `operator:${person}`, person: [person], at: by.at };
    return create(redis, made.plan, IMAGES, { ...who, start: true });
  };
  return { redis, fleet, bans, fill, full, empty, held, both, begin, root };
}

type World = Awaited<ReturnType<typeof server>>;

/** What was there before, and what is decided on the full disk. */
const DECIDED: { [what: string]: (world: World) => Promise<() => Promise<unknown>> } = {
  'a site': async ({ fleet }) => {
    return () => fleet.sites.add('munich', {}, by);
  },
  'an expectation': async ({ fleet }) => {
    return () => fleet.expect({ site: 'default', criteria: { serial: 'SN5' }, expiresAt: null }, by);
  },
  'a template': async ({ fleet }) => {
    return () => setTemplate(fleet, 'weekly', '{}', by);
  },
  'a member': async ({ fleet }) => {
    const two = enrolment(2);
    return () => fleet.approve(two.id, two.words, by);
  },
  'the start of a rollout':
    async ({ begin }) =>
    () =>
      begin('ann'),
  'an approval': async ({ redis, begin }) => {
    const id = await begin('ann', false);
    return () =>
      operate(redis, id, { type: 'approve', by: 'operator:bob', person: ['bob'] } as never, () => by.at);
  },
  'the end of a rollout': async ({ redis, begin }) => {
    const id = await begin('ann', false);
    return () => operate(redis, id, { type: 'abort', by: by.actor, why: 'enough' }, () => by.at);
  },
};

for (const [what, prepare] of Object.entries(DECIDED))
  test(`${what}: refused on a full disk, with nothing changed, and done when there is room`, async (t) => {
    const world = await server(t);
    const decide = await prepare(world);
    const before = await world.both();
    await world.full();
    const held = await world.held();
    const error = await t.throwsAsync(decide(), { code: 'DECISIONS_DISK' });
    t.regex(error?.message ?? '', /make room/);
    t.deepEqual(await world.held(), held, 'Redis is as it was');
    t.deepEqual(await world.both(), before);
    await world.empty();
    await decide();
    const { disk, redis, torn } = await world.both();
    t.deepEqual(disk, redis);
    t.notDeepEqual(disk, before.disk);
    t.is(torn, 0);
  });

test('a disk that gets full in the moment in which it is decided: it is on the disk, and the next one is refused', async (t) => {
  const { fleet, fill, both, empty } = await server(t);
  const add = (n: number) => fleet.sites.add(`site${n}`, {}, by);
  await add(0);
  await fill();
  let done = 0;
  const refused = await t.throwsAsync(
    (async () => {
      for (let n = 1; n < 100; n += 1) {
        await add(n);
        done = n;
        const { disk, redis } = await both();
        t.deepEqual(disk, redis);
      }
    })(),
    { code: 'DECISIONS_DISK' },
  );
  t.not(refused, undefined);
  t.true(done > 0);
  await empty();
  await add(done + 1);
  const { disk, redis } = await both();
  t.deepEqual(disk, redis);
});

test('a ban is made on a full disk too, says what is missing, and is written when there is room', async (t) => {
  const { fleet, bans, full, empty, both } = await server(t);
  await full();
  const banned = async (n: number) => {
    const { ban } = await banNode(fleet, bans.set, `tpm-${`${n}`.repeat(64)}`, 'stolen'.repeat(200), by);
    await bans.keep(ban);
  };
  const error = await t.throwsAsync(
    (async () => {
      for (let n = 0; n < 9; n += 1) await banned(n);
    })(),
    { code: 'DECISIONS_UNWRITTEN' },
  );
  t.regex(error?.message ?? '', /in force/);
  await t.throwsAsync(bans.look(), { code: 'DECISIONS_UNWRITTEN' });
  await empty();
  await bans.look();
  const { disk, redis } = await both();
  t.deepEqual(disk, redis);
});
