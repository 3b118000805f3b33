/** The playbook carried on by upkeep, with real BMCs of the lab, on a real Redis. */
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { FleetDirectory } from '../../../orchestrator/fleet/directory.ts';
import { end, recover, retry, show } from '../../../orchestrator/operations/incident/acts.ts';
import { set as setBmc } from '../../../orchestrator/operations/power/bmc.ts';
import { KINDS } from '../../../orchestrator/power/bmc.ts';
import { fence } from '../../../orchestrator/recovery/fence.ts';
import { decideIncident } from '../../../orchestrator/recovery/incidents.ts';
import { LIMITS } from '../../../orchestrator/recovery/playbook.ts';
import { startRecovery } from '../../../orchestrator/recovery/run.ts';
import { Watch } from '../../../orchestrator/recovery/watch.ts';
import {
  anyImage,
  beatOfBoot,
  certificateFor,
  enrolment,
  inventory,
  pcr11,
  silent,
} from '../fleet/support.ts';
import { bench, PASSWORD, SWITCH, USER } from '../power/benches.ts';
import { servicesFor } from '../services/world.ts';

type Asked = (op: string) => object;

async function world(t: ExecutionContext, { asked = () => ({}) as object }: { asked?: Asked } = {}) {
  const found = await servicesFor(t);
  const { fleet, paths, bans } = found;
  const clock = { ahead: 0 };
  const now = () => Date.now() + clock.ahead;
  const breaker = () => null;
  const watch = new Watch({ fleet, site: 'default', attestMinutes: 30, breaker, log: silent, now });
  const directory = new FleetDirectory({
    ...{ ...anyImage, fleet, site: 'default', pcr11, log: silent, now, bans },
    defaultImage: async () => '1.0',
    saw: (sight) => watch.saw(sight),
  });
  await fleet.sites.set(
    'default',
    { automation: 'fence', recovery: 'wipe' },
    { actor: 'operator:ann', at: 1 },
  );
  const machine = (boot = 1) => enrolment(1, boot, { inventory: inventory(1, SWITCH), at: now() });
  const { id } = machine();
  const boot = async (number: number) => {
    const one = machine(number);
    const { state } = await directory.enrol(one);
    if (state !== 'approved') return state;
    await directory.recordCertificate(id, certificateFor(one));
    await directory.heartbeat(id, certificateFor(one).serial, beatOfBoot(one));
    return state;
  };
  await directory.enrol(machine());
  await fleet.approve(id, machine().words, { actor: 'operator:ann', at: now() });
  await boot(1);
  /** Minutes in which it is heard. */
  const bake = async (number: number, minutes: number) => {
    const one = machine(number);
    for (let minute = 0; minute < minutes; minute += 2) {
      clock.ahead += 120_000;
      await directory.heartbeat(id, certificateFor(one).serial, beatOfBoot(one));
    }
  };
  const stop = new AbortController();
  t.teardown(() => stop.abort());
  const acting = () =>
    ({
      ...{ fleet, paths, bans, signal: stop.signal, log: silent, wires: () => undefined },
      by: { actor: 'operator:ann', at: now() },
    }) as never;
  const requests: string[] = [];
  const pool = {
    request: async (_: string, op: string) => {
      requests.push(op);
      return { result: asked(op) };
    },
  } as never;
  /** Runs it, as a server does, until it is stopped. */
  const run = () => {
    const end = new AbortController();
    const parts = { fleet, paths, site: 'default', pool, watch, breaker, log: silent, now, look: 20 };
    const done = startRecovery({ ...parts, signal: end.signal });
    const stopped = async () => {
      end.abort();
      await done;
    };
    t.teardown(stopped);
    return stopped;
  };
  const incident = () => fleet.decisions.incidents.of(id);
  const until = async (what: () => boolean) => {
    for (let tries = 0; !what(); tries += 1) {
      if (tries > 1500) throw new Error(JSON.stringify(incident()));
      await sleep(20);
    }
  };
  return { ...found, id, directory, watch, clock, now, boot, bake, acting, requests, run, incident, until };
}

async function withBmc(
  t: ExecutionContext,
  kind: (typeof KINDS)[number],
  { acting, id }: Awaited<ReturnType<typeof world>>,
) {
  const { access, machine } = await bench(t, kind, { user: USER, password: PASSWORD });
  machine.power = true;
  const address = `${access.host}:${access.port}`;
  const pin = access.pin === null ? {} : { pin: access.pin };
  await setBmc(
    { node: id, kind, user: USER, password: PASSWORD, unproven: false, address, ...pin },
    acting(),
  );
  return machine;
}

for (const kind of KINDS) {
  test(`${kind}: a fenced node is started from the network through its BMC; when it is wiped and in again it bakes, and nobody typed a command`, async (t) => {
    const all = await world(t);
    const { fleet, id, run, incident, until, boot, bake, now, directory } = all;
    const machine = await withBmc(t, kind, all);
    run();
    await directory.enrol(
      enrolment(1, 2, {
        inventory: inventory(1, SWITCH),
        pcrs: { ...enrolment(1).pcrs, '11': 'ee'.repeat(32) },
        at: now(),
      }),
    );
    await until(() => machine.done.includes('on from network'));
    t.like(incident(), { step: 'fenced', tries: { network: 1 } });
    // The node's half (held.ts) moves it on, with a quote for each step.
    for (const step of ['wiping', 'wiped'] as const)
      await decideIncident(fleet, id, (known) => ({ ...known!, step }), { actor: 'recovery', at: now() });
    await fleet.nodes.update(id, (record) => ({
      outcome: {
        kind: 'changed',
        record: { ...record!, state: 'recovering', epoch: record!.epoch + 1 },
        audit: [],
      },
    }));
    t.is(await boot(3), 'approved');
    await until(() => incident()?.step === 'returning');
    await bake(3, 12);
    await until(() => incident()?.step === 'ended');
    const history = (await fleet.audit.read({ node: id })).filter(({ action }) => action === 'incident');
    t.deepEqual([...new Set(history.map(({ actor }) => actor))], ['recovery']);
    t.is(machine.done.filter((what) => what === 'on from network').length, 1, 'once');
  });
}

test('a broken node: asked over the link, then its BMC, and what failed is evidence; ended in between it goes on', async (t) => {
  const asked: Asked = (op) => {
    if (op === 'restart') throw new Error('nobody is there');
    return { running: { bootId: 'boot-1-1' }, order: { epoch: 3 } };
  };
  const all = await world(t, { asked });
  const { id, run, incident, until, boot, bake, clock, acting, requests } = all;
  const machine = await withBmc(t, 'ipmi', all);
  await recover({ node: id, reason: 'it answers nobody' }, acting());
  await t.throwsAsync(recover({ node: id, reason: 'again' }, acting()), { code: 'INCIDENT_OPEN' });
  const stopped = run();
  await until(() => incident()?.evidence.some((line) => line.includes('nobody is there')) === true);
  t.deepEqual(requests, ['status', 'restart']);
  await stopped();
  clock.ahead += 2 * LIMITS.again;
  run();
  await until(() => machine.done.length > 0);
  t.like(incident(), { step: 'open', tries: { restart: 1, cycle: 1 } });
  t.false(machine.done.includes('on from network'));
  t.is(await boot(2), 'approved');
  await bake(2, 12);
  await until(() => incident()?.step === 'ended');
  t.regex(incident()!.reason, /after restart, cycle/);
});

test('without a BMC the ticket says which button; a person ends and begins again only what may be', async (t) => {
  const { fleet, id, run, incident, until, acting, now } = await world(t);
  const word = { signal: 'operator', evidence: ['ann saw it'], reason: 'it mines coins' };
  await fence(fleet, id, word, { actor: 'operator:ann', at: now() });
  t.regex((await show({ node: id }, acting())).ticket[0]!, /by its button/);
  await t.throwsAsync(end({ node: id, reason: 'enough' }, acting()), { code: 'INCIDENT_HELD' });
  await t.throwsAsync(retry({ node: id, reason: 'now' }, acting()), { code: 'INCIDENT_STEP' });
  await fleet.sites.set('default', { recovery: 'person' }, { actor: 'operator:ann', at: 2 });
  run();
  await until(() => incident()?.step === 'person');
  t.regex((await show({ node: id }, acting())).ticket[0]!, /two people say that it may be wiped/);
  await fleet.sites.set('default', { recovery: 'wipe' }, { actor: 'operator:ann', at: 3 });
  t.like(await retry({ node: id, reason: 'they said so' }, acting()), {
    step: 'fenced',
    reason: 'operator:ann: they said so',
  });
  await fleet.retire(id, 'sold', { actor: 'operator:ann', at: now() });
  await until(() => incident()?.step === 'ended');
});
