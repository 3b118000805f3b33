/** Reports of drills through the commands: what is put on record, compared, shown, and what is refused. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { Report } from '../../../orchestrator/recovery/report.ts';
import { REPORTS } from '../../../orchestrator/recovery/reports.ts';
import { server } from '../../attack/redis/server.ts';
import { commandsOn } from '../in-process.ts';

const MINUTE = 60_000;

const reportOf = (more: Partial<Report> = {}): Report => ({
  ...{ kind: 'restore', site: null, of: 'boot1 as of monday', startedAt: 1, endedAt: 2, fault: null },
  ...{ steps: [['restored', 4000]], facts: ['2 nodes'] },
  ...more,
});

async function noting(t: ExecutionContext) {
  const world = await server(t);
  const bootwave = commandsOn(t, world.paths.root);
  const note = async (report: object | string) => {
    const file = join(world.paths.root, 'report.json');
    await writeFile(file, typeof report === 'string' ? report : JSON.stringify(report));
    return bootwave('root', 'drill', 'note', file, '--json');
  };
  return { ...world, bootwave, note };
}

test('one after the other, each beside what is usual; the same one is on record once', async (t) => {
  const { bootwave, note, fleet } = await noting(t);
  t.is((await bootwave('root', 'drill', 'list')).out, 'no drill yet');
  for (const [i, time] of [4000, 6000, 5000].entries())
    t.is((await note(reportOf({ startedAt: i, steps: [['restored', time]] }))).code, '');
  await note(
    reportOf({ startedAt: 4, endedAt: 5, fault: 'RESTORE_DAMAGED: torn', steps: [['restored', 1]] }),
  );
  const last = reportOf({ startedAt: 6, endedAt: 7, steps: [['restored', 10_000]] });
  const { drill } = (await note(last)).value;
  t.is((await note(last)).value.drill, drill);
  const { out } = await bootwave('root', 'drill', 'list');
  t.is(out.split('\n').length, 5);
  t.regex(
    out,
    /^\S+ \S+ restore noted-[0-9a-f]{16} of .*: it went well; restored 10\.0 s \(2\.0 of what is usual\)$/m,
  );
  t.regex(out, /: FAILED; restored/);
  t.regex(
    (await bootwave('root', 'drill', 'show', drill)).out,
    /\n {2}restored 10\.0 s \(2\.0.*\n {2}2 nodes$/,
  );
  t.is((await bootwave('root', 'drill', 'show', 'nothing')).code, 'DRILL_UNKNOWN');
  t.is((await bootwave('root', 'drill', 'list', '--kind', 'recovery')).out, 'no drill yet');
  t.is((await REPORTS.list(fleet)).length, 5);
});

test('what is no report of a restore, and what claims to be of tomorrow, is refused', async (t) => {
  const { note, fleet } = await noting(t);
  t.is((await note('{')).code, 'INPUT_INVALID');
  t.is(
    (await note(reportOf({ kind: 'recovery' }))).code,
    'INPUT_INVALID',
    'of these the server knows itself',
  );
  t.is((await note(reportOf({ site: 'munich' }))).code, 'INPUT_INVALID');
  t.is((await note({ ...reportOf(), more: 1 })).code, 'INPUT_INVALID');
  t.is((await note(reportOf({ endedAt: Date.now() + 60 * MINUTE }))).code, 'DRILL_TIMES');
  t.is((await note(reportOf({ startedAt: 3 }))).code, 'DRILL_TIMES');
  t.deepEqual(await REPORTS.list(fleet), []);
});

test('whoever owns Redis makes no drill look well, and hides none', async (t) => {
  const { note, fleet, redis, bootwave } = await noting(t);
  const { drill } = (await note(reportOf({ fault: 'RESTORE_DAMAGED: torn' }))).value;
  const [key] = await redis.keys(`*shelf*drill*${drill}*`);
  const body = (await redis.hget(key!, 'body'))!;
  await redis.hset(key!, 'body', body.replace('"RESTORE_DAMAGED: torn"', 'null'));
  t.is((await REPORTS.get(fleet, drill))?.value.fault, 'RESTORE_DAMAGED: torn');
  await redis.flushall();
  t.regex((await bootwave('root', 'drill', 'list')).out, /FAILED/);
});
