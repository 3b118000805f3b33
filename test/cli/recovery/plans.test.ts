/** Recovery of many nodes through the commands and the code that carries it on; what a node does is said in its place. */
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { IncidentStep } from '../../../orchestrator/fleet/decisions/incidents.ts';
import { decideIncident } from '../../../orchestrator/recovery/incidents.ts';
import { lookAtPlans } from '../../../orchestrator/recovery/keep-plans.ts';
import { START, silent } from '../../orchestrator/fleet/support.ts';
import { servicesFor } from '../../orchestrator/services/world.ts';
import { commandsOn } from '../in-process.ts';

/** Three members with a service, in two racks, of a site that may be wiped; two people. */
async function three(t: ExecutionContext) {
  const world = await servicesFor(t);
  const { fleet, member, paths, by } = { ...world, by: { actor: 'operator:test', at: START } };
  const bootwave = commandsOn(t, paths.root);
  const ids: string[] = [];
  for (let n = 1; n <= 3; n += 1) {
    const id = await member(n, ['chrony:4.3']);
    ids.push(id);
    await bootwave('anna', 'node', 'set', id, '--rack', n < 3 ? 'r1' : 'r2');
  }
  for (const name of ['ann', 'bob'])
    await bootwave('root', 'operator', 'add', name, '--role', 'core', '--out', join(paths.root, name));
  const as = (name: string, ...args: string[]) => bootwave('root', '--as', join(paths.root, name), ...args);
  const look = (now = START) =>
    lookAtPlans({ fleet, log: silent, signal: new AbortController().signal, now: () => now });
  let at = START;
  const move = (id: string, step: IncidentStep) => {
    at += 60_000;
    return decideIncident(fleet, id, (known) => (known === undefined ? null : { ...known, step }), {
      ...by,
      at,
    });
  };
  /** As a node goes that does what it should. */
  const back = async (id: string) => {
    for (const step of ['wiping', 'wiped', 'returning', 'ended'] as const) await move(id, step);
  };
  const fenced = () =>
    fleet.decisions.incidents.all.map(({ node, step }) => `${ids.indexOf(node)} ${step}`).sort();
  const consent = () => fleet.sites.set('default', { recovery: 'wipe' }, by);
  return { ...world, ids, as, look, back, move, fenced, consent, bootwave };
}

test.serial('two people, a few at once, rack by rack, to the end', async (t) => {
  const { ids, as, look, back, fenced, consent, fleet } = await three(t);
  const start = ['recovery', 'start', '--site', 'default', '--at-once', '2', '--reason', 'a stolen key'];
  t.is((await as('ann', 'recovery', 'plan', '--site', 'default')).code, 'RECOVERY_UNSAID');
  await consent();
  const plan = (await as('ann', 'recovery', 'plan', '--site', 'default')).out;
  t.regex(
    plan,
    /^3 nodes are fenced, wiped and brought back, in this order:\n.*\(rack r1\)\n.*\(rack r1\)\n.*\(rack r2\)\n4 at a time, and nobody knows how long/,
  );
  t.is(
    (await as('ann', 'recovery', 'plan', '--site', 'default', '--rack', 'r9')).code,
    'RECOVERY_PLAN_NODES',
  );

  const { request, nodes } = (await as('ann', ...start, '--json')).value;
  t.is(nodes.length, 3);
  await look();
  t.deepEqual(fenced(), [], 'one person starts nothing');
  t.regex(
    (await as('bob', 'request', 'show', request)).out,
    new RegExp(ids[2]!.slice(0, 40)),
    'each node is agreed to',
  );
  await as('bob', 'request', 'approve', request, '--yes');
  await look();
  t.deepEqual(fenced(), ['0 fenced', '1 fenced']);
  t.is((await fleet.nodes.get(ids[0]!))?.state, 'quarantined');
  await look();
  t.deepEqual(fenced(), ['0 fenced', '1 fenced'], 'looking again begins nobody');
  await back(ids[0]!);
  await look();
  t.regex(
    (await as('ann', 'recovery', 'plans')).out,
    /waits 1, under way 1, done 1\n {2}no more begin now: one rack/,
  );
  await back(ids[1]!);
  await look();
  t.deepEqual(fenced(), ['0 ended', '1 ended', '2 fenced']);
  await back(ids[2]!);
  await look();
  await look();
  t.regex((await as('ann', 'recovery', 'plans')).out, /^ {2}ended: done 3$/m);
  t.is(
    (await fleet.audit.read({})).filter(({ reason }) => /recovery-plan .*: done 3/.test(reason)).length,
    1,
  );
});

test.serial(
  'it is stopped by one person; a service that needs its nodes and a node that needs a person hold it up',
  async (t) => {
    const { ids, as, look, move, fenced, consent, bootwave } = await three(t);
    await consent();
    const start = async () => {
      const { request } = (
        await as('ann', 'recovery', 'start', '--site', 'default', '--reason', 'r', '--json')
      ).value;
      await as('bob', 'request', 'approve', request, '--yes');
    };
    await bootwave('anna', 'service', 'capacity', 'set', 'chrony', '2', '--reason', 'r');
    await start();
    await look();
    t.deepEqual(fenced(), ['0 fenced'], 'two are needed');
    await move(ids[0]!, 'person');
    const shown = await as('ann', 'recovery', 'plans', '--json');
    const [{ plan, nodes, why }] = shown.value;
    t.like(nodes, { 0: { fate: 'person', step: 'person' } });
    t.regex(why ?? '', /chrony would be left with 1 of the 2/);
    t.is((await as('ann', 'recovery', 'stop', 'nothing', '--reason', 'r')).code, 'RECOVERY_PLAN_UNKNOWN');
    t.regex(
      (await as('ann', 'recovery', 'stop', plan, '--reason', 'enough')).out,
      /ended: stopped by operator:ann: enough/,
    );
    await bootwave('anna', 'service', 'capacity', 'remove', 'chrony', '--reason', 'r');
    await look();
    t.deepEqual(fenced(), ['0 person']);
  },
);

test.serial('a drill takes one healthy node, one at a time, and none that its services need', async (t) => {
  const { ids, as, look, back, fenced, consent, bootwave } = await three(t);
  const drill = (n: number) => as('ann', 'drill', 'recovery', ids[n]!, '--reason', 'every month');
  t.is((await drill(0)).code, 'RECOVERY_UNSAID');
  await consent();
  await bootwave('anna', 'service', 'capacity', 'set', 'chrony', '3', '--reason', 'r');
  t.regex((await drill(0)).what, /no drill with .*: chrony would be left/);
  await bootwave('anna', 'service', 'capacity', 'remove', 'chrony', '--reason', 'r');
  t.regex((await drill(0)).out, /^drill [0-9a-f]{8} of .* begins/);
  await look();
  t.deepEqual(fenced(), ['0 fenced']);
  t.regex((await drill(1)).what, /drill [0-9a-f]{8} is under way at default/);
  await back(ids[0]!);
  await look();
  t.regex(
    (await as('ann', 'recovery', 'plans')).out,
    /^drill .*\n {2}done 1\n {2}fenced 60 s, wiping 60 s, wiped 60 s, returning 60 s\n {2}ended: done 1$/m,
  );
});
