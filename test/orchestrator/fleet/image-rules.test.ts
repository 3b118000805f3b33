/** Images that people have ruled out: what becomes of the machines that run them. */
import test, { type ExecutionContext } from 'ava';
import { FleetDirectory } from '../../../orchestrator/fleet/directory.ts';
import { type ImageRules, unfit } from '../../../orchestrator/fleet/image-rules.ts';
import { set } from '../../../orchestrator/fleet/set.ts';
import {
  anyImage,
  beatOfBoot,
  certificateFor,
  enrolment,
  fleetFor,
  macOf,
  pcr11,
  quoted,
  silent,
} from './support.ts';

async function setup(t: ExecutionContext) {
  const world = await fleetFor(t);
  const { fleet, clock, by } = world;
  const rules = { floor: null as string | null, withdrawn: new Set<string>() };
  const directory = new FleetDirectory({
    ...{ fleet, site: 'default', pcr11, log: silent },
    released: anyImage.released,
    defaultImage: async () => '9.0',
    imageRules: async (): Promise<ImageRules> => rules,
    now: () => clock.now,
  });
  const running = (version: string, boot = 1) => {
    const e = enrolment(1, boot);
    return { ...e, running: { ...e.running, version }, pcrs: quoted(version, e.pcrs!['7']!) };
  };
  const member = async (version: string) => {
    const e = running(version);
    await directory.enrol(e);
    await fleet.approve(e.id, e.words, by());
    await directory.recordCertificate(e.id, certificateFor(e));
    await directory.heartbeat(e.id, certificateFor(e).serial, beatOfBoot(e));
    return e;
  };
  const reattest = (e: typeof enrolment extends (...args: never[]) => infer E ? E : never) =>
    directory.reattest(e.id, certificateFor(e).serial, {
      ...{ akName: e.akName!, pcrs: e.pcrs!, clock: e.clock!, firmware: e.firmware },
      ...{ address: e.address, at: clock.now, nonceNumber: e.nonceNumber },
    });
  const record = async () => (await fleet.nodes.get(enrolment(1).id))!;
  return { ...world, directory, rules, running, member, reattest, record };
}

const outlaws: [what: string, rule: (w: Awaited<ReturnType<typeof setup>>) => unknown, reason: RegExp][] = [
  ['below the floor', ({ rules }) => (rules.floor = '2.0'), /below the release floor 2\.0/],
  ['withdrawn', ({ rules }) => rules.withdrawn.add('1.0'), /1\.0 is withdrawn/],
  [
    'below the floor of its site',
    ({ fleet, by }) => fleet.sites.set('default', { floor: '2.0' }, by()),
    /below the site's floor 2\.0/,
  ],
];

for (const [what, rule, reason] of outlaws)
  test(`${what}: a member is shown, and not renewed; a newcomer is not let in`, async (t) => {
    const world = await setup(t);
    const { directory, fleet, member, reattest, record, running } = world;
    const e = await member('1.0');
    t.is((await record()).observed.attested.state, 'ok');
    await rule(world);
    // Between two enrolments a rollout has the time to bring it on.
    t.like(await reattest(e), { state: 'ok', verdict: { attested: 'differs' } });
    t.is((await record()).observed.attested.state, 'differs', 'and no ok any more');
    t.regex((await record()).observed.attested.reason, reason);
    t.true(await directory.heartbeat(e.id, certificateFor(e).serial, beatOfBoot(e)));

    const renewal = { ...e, words: ['r', 'e', 'n', 'ew'] as const };
    t.like(await directory.enrol(renewal), { state: 'rejected', restart: true });
    t.like(await record(), { state: 'degraded', identity: { certificateSerial: null } });
    t.false(await directory.heartbeat(e.id, certificateFor(e).serial, beatOfBoot(e)));
    t.like(await directory.enrol(running('1.0', 2)), { state: 'rejected' }, 'nor after a restart');
    t.regex((await fleet.audit.read()).map((entry) => entry.reason).join(), /ENROL_IMAGE/);
    const stranger = { ...enrolment(2), pcrs: quoted('1.0', e.pcrs!['7']!) };
    t.like(await directory.enrol(stranger), { state: 'rejected' });
    t.is(await fleet.nodes.get(stranger.id), null);
    t.like(
      await directory.enrol(running('3.0', 3)),
      { state: 'approved' },
      'with a newer image it is as before',
    );
    t.is((await record()).observed.attested.state, 'ok');
  });

test('a site may choose to only report', async (t) => {
  const { directory, fleet, member, record, rules, by } = await setup(t);
  const e = await member('1.0');
  rules.floor = '2.0';
  await fleet.sites.set('default', { image: 'report' }, by());
  t.like(await directory.enrol({ ...e, words: ['r', 'e', 'n', 'ew'] }), { state: 'approved' });
  t.like((await record()).observed.attested, { state: 'differs' });
  t.is((await directory.enrol(enrolment(2))).state, 'pending');
});

test('a machine without a TPM is held to what it says it runs', async (t) => {
  const { directory, rules } = await setup(t);
  rules.floor = '2.0';
  const { withoutTpm } = await import('./support.ts');
  t.like(await directory.enrol(withoutTpm(1)), { state: 'rejected' });
});

test('an installed node that is refused for its image gets another one from the network, not its own disk', async (t) => {
  const { directory, fleet, member, rules, running, by } = await setup(t);
  const e = await member('1.0');
  await set(fleet, e.id, { mode: 'installed' }, by());
  await fleet.nodes.update(e.id, (record) => ({
    outcome: { kind: 'changed', record: { ...record!, epoch: record!.epoch + 1, installedAt: 1 }, audit: [] },
  }));
  const intent = async () => {
    const found = await directory.bootIntent({ mac: macOf(1) });
    return found.kind === 'image' ? found.version : found.kind;
  };
  rules.floor = '2.0';
  t.is(await intent(), 'disk', 'as long as it is a member, a rollout updates it');
  await directory.enrol(running('1.0', 2));
  t.is(await intent(), '9.0');
  await directory.enrol(running('9.0', 3));
  t.is(await intent(), 'disk');
});

test('rules are of the version that is named, by the order that systemd-boot has', (t) => {
  const rules = { floor: '1.10', withdrawn: new Set(['1.12']) };
  const said = (version: string, site: string | null = null) => unfit(version, rules, site);
  for (const version of ['1.9', '1.10~rc1', '0', '']) t.regex(said(version) ?? '', /release floor/, version);
  for (const version of ['1.10', '1.11', '2']) t.is(said(version), null, version);
  t.regex(said('1.12') ?? '', /withdrawn/);
  t.regex(said('1.11', '1.20') ?? '', /site's floor/);
});
