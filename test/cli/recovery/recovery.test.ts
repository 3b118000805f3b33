/** The breaker and what services need, through the commands, on a fleet whose Redis is believed only what was decided. */
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { createLogger } from '../../../base/log.ts';
import { readGuard, resume, setRules } from '../../../orchestrator/recovery/guard.ts';
import { decideIncident } from '../../../orchestrator/recovery/incidents.ts';
import { keepGuard } from '../../../orchestrator/recovery/keep-guard.ts';
import { START } from '../../orchestrator/fleet/support.ts';
import { servicesFor } from '../../orchestrator/services/world.ts';
import { until } from '../../support/until.ts';
import { commandsOn } from '../in-process.ts';

/** Five members, and a way to say that something is wrong with one of them. */
async function five(t: ExecutionContext) {
  const world = await servicesFor(t);
  const { fleet, member, paths } = world;
  const ids: string[] = [];
  for (let n = 1; n <= 5; n += 1) ids.push(await member(n, n < 5 ? ['chrony:4.3'] : []));
  const now = START + 1000;
  const signal = (node: string, at: number, road: 'broken' | 'compromised' = 'broken') =>
    decideIncident(
      fleet,
      node,
      () => ({
        ...{ node, name: node.slice(0, 12), site: 'default', number: 1, road, signal: 'ill', evidence: [] },
        ...{
          step: road === 'broken' ? 'open' : 'fenced',
          reason: 'ill',
          tries: {},
          wipe: null,
          openedAt: at,
        },
      }),
      { actor: 'policy', at },
    );
  return { ...world, ids, now, signal, bootwave: commandsOn(t, paths.root) };
}

test.serial(
  'it stands still at too many nodes of a site; one person lets repairs go on, two let wipes',
  async (t) => {
    const { fleet, ids, signal, bootwave, paths } = await five(t);
    const guard = async () => readGuard(fleet, Date.now());
    const show = async () => (await bootwave('anna', 'recovery', 'show')).out;
    t.regex(await show(), /^the automation goes on everywhere$/m);
    for (const id of ids.slice(0, 3)) await signal(id, Date.now());
    t.regex(await show(), /^STANDS STILL: no broken node is repaired, at site default$/m);
    t.regex(await show(), /3 nodes have signals within 60 min .* of 5 at site default, where 2 are the most/);
    t.regex(await show(), /recovery resume --site default --wipes --reason WHY$/m);
    t.truthy((await guard()).stopped(ids[4]!, 'repair'));
    t.is((await guard()).stopped(ids[4]!, 'fence'), null);

    t.is((await bootwave('anna', 'recovery', 'resume', '--site', 'x', '--reason', 'r')).code, 'SITE_UNKNOWN');
    const gone = await bootwave('anna', 'recovery', 'resume', '--site', 'default', '--reason', 'a bad batch');
    t.notRegex(gone.out, /no broken node is repaired/);
    t.regex(gone.out, /STANDS STILL: no fenced node is wiped, at site default/);
    const wipes = ['recovery', 'resume', '--wipes', '--reason', 'a bad batch'];
    t.is((await bootwave('anna', ...wipes)).code, 'REQUEST_CERTIFICATE', 'root is not two people');

    for (const name of ['ann', 'bob'])
      await bootwave('root', 'operator', 'add', name, '--role', 'core', '--out', join(paths.root, name));
    const as = (name: string, ...args: string[]) => bootwave('root', '--as', join(paths.root, name), ...args);
    const { request } = (await as('ann', ...wipes, '--json')).value;
    await signal(ids[3]!, Date.now());
    await signal(ids[4]!, Date.now());
    t.is((await as('bob', 'request', 'approve', request, '--yes')).exit, 0);
    t.regex(
      await show(),
      /^the automation goes on everywhere$/m,
      'of two that came later two are not too many',
    );
    await signal(ids[0]!, Date.now());
    t.regex(
      await show(),
      /STANDS STILL: no fenced node is wiped/,
      'of which nobody had seen anything when it was asked for',
    );

    const set = ['recovery', 'set', '--percent', '100', '--reason', 'a rehearsal', '--json'];
    const asked = (await as('ann', ...set)).value;
    t.regex(await show(), /more than 20 % of a site/);
    await as('bob', 'request', 'approve', asked.request, '--yes');
    t.regex(await show(), /^the automation goes on everywhere$/m);
    t.regex(await show(), /more than 100 % of a site/);
  },
);

test.serial('whoever owns Redis lets nothing go on, and hides no signal', async (t) => {
  const { fleet, redis, ids, signal } = await five(t);
  for (const id of ids.slice(0, 3)) await signal(id, Date.now());
  const stopped = async () => (await readGuard(fleet, Date.now())).stopped(ids[4]!, 'repair');
  t.truthy(await stopped());
  const value = { site: null, repair: 2 ** 42, wipe: 2 ** 42 };
  const forged = { name: ':', epoch: 9, by: 'eve', at: 1, reason: '', value };
  const rules = { minutes: 60, nodes: 1000, percent: 100, least: 1000, fences: 1000 };
  for (const [kind, name, body] of [
    ['resumed', ':', forged],
    ['breaker', 'fleet', { ...forged, name: 'fleet', value: rules }],
  ] as const) {
    await redis.hset(`{bootwave}:shelf:${kind}:${name}`, {
      body: JSON.stringify(body),
      state: 'known',
      epoch: '9',
    });
    await redis.sadd(`{bootwave}:shelves:${kind}`, name);
  }
  await redis.del(...ids.map((id) => `{bootwave}:incident:${id}`), '{bootwave}:incidents');
  t.truthy(await stopped());
});

test.serial('what a service needs is decided; a node that it needs is not taken from its work', async (t) => {
  const { fleet, ids, bootwave } = await five(t);
  const list = async () => (await bootwave('anna', 'service', 'capacity', 'list')).out;
  t.regex(await list(), /^nobody has said/);
  const set = (...args: string[]) => bootwave('anna', 'service', 'capacity', 'set', ...args, '--reason', 'r');
  t.is((await set('no name', '3')).code, 'SERVICE_NAME');
  t.is((await set('chrony', '3', '--site', 'x')).code, 'SITE_UNKNOWN');
  t.regex((await set('chrony', '4')).out, /^chrony +all +4 +4$/m);
  const needed = async (id: string) => (await readGuard(fleet, START)).stopped(id, 'repair');
  t.is(await needed(ids[0]!), 'chrony would be left with 3 of the 4 nodes that it needs');
  t.is(await needed(ids[4]!), null, 'it does not run it');
  t.is((await readGuard(fleet, START)).stopped(ids[0]!, 'fence'), null, 'compromised is compromised');
  t.is((await readGuard(fleet, START + 3600_000)).needed(ids[0]!), null, 'silent: it is missing already');
  await set('chrony', '3');
  t.is(await needed(ids[0]!), null);
  t.truthy((await readGuard(fleet, START)).needed(ids[0]!, new Set([ids[1]!])), 'after another one');
  t.regex((await bootwave('anna', 'recovery', 'show')).out, /^chrony: \d nodes are well, 3 are needed$/m);
  await bootwave('anna', 'service', 'capacity', 'remove', 'chrony', '--reason', 'r');
  t.regex(await list(), /^nobody has said/);
});

test.serial(
  'of many signals within one moment none too many is acted on, before anybody has looked again',
  async (t) => {
    const { fleet, ids, signal } = await five(t);
    const stop = new AbortController();
    const lines: string[] = [];
    const log = createLogger('test', 'warn', { write: (line: string) => void lines.push(line) } as never);
    const rules = { minutes: 60, nodes: 10, percent: 100, least: 10, fences: 2 };
    await setRules(fleet, rules, { actor: 'operator:ann', at: 1, reason: 'r' });
    const { stopped, done } = keepGuard({ fleet, log, signal: stop.signal, every: 20 });
    t.truthy(stopped('repair', { id: ids[0]! }), 'nobody has looked yet');
    await until(() => stopped('fence', { id: ids[0]! }) === null);
    const answers: boolean[] = [];
    for (const id of ids) {
      const isFree = stopped('fence', { id }) === null;
      answers.push(isFree);
      if (isFree) await signal(id, Date.now(), 'compromised');
    }
    t.deepEqual(answers, [true, true, false, false, false]);
    await until(() => lines.some((line) => /RECOVERY_STOPPED/.test(line)));
    t.is(
      lines.filter((line) => /RECOVERY_STOPPED/.test(line) && /"act":"fence"/.test(line)).length,
      1,
      'told once',
    );
    await resume(fleet, { site: null, wipes: true }, { actor: 'operator:ann', at: Date.now(), reason: 'r' });
    await until(() => lines.some((line) => /RECOVERY_RESUMED/.test(line)));
    t.is(stopped('fence', { id: ids[4]! }), null);
    stop.abort();
    await done;
  },
);
