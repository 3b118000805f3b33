/** The rules that a boot server and a site admin rely on, one test each, on a real Redis. */
import test from 'ava';
import type { BootIntent } from '../../../bootserver/directory.ts';
import { FleetDirectory } from '../../../orchestrator/fleet/directory.ts';
import { newToken } from '../../../orchestrator/fleet/expectation.ts';
import { Fleet } from '../../../orchestrator/fleet/fleet.ts';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { set } from '../../../orchestrator/fleet/set.ts';
import {
  anyImage,
  beatOfBoot,
  certificateFor,
  enrolment,
  fleetFor,
  inventory,
  macOf,
  pcr11,
  redisFor,
  START,
  silent,
  withoutTpm,
} from './support.ts';

type World = Awaited<ReturnType<typeof fleetFor>>;

async function approved(world: World, n: number, name?: string) {
  const e = enrolment(n);
  await world.directory.enrol(e);
  return world.fleet.approve(e.id, e.words, world.by(), name);
}

async function healthy(world: World, n: number) {
  const e = enrolment(n);
  await approved(world, n);
  await world.directory.recordCertificate(e.id, certificateFor(e));
  await world.directory.heartbeat(e.id, certificateFor(e).serial, beatOfBoot(e));
  return e;
}

const refusals = async (world: World) =>
  (await world.fleet.audit.read()).filter((entry) => entry.action === 'refused').map((entry) => entry.reason);
const kind = (intent: BootIntent) => intent.kind;

test('new hardware gets the newest image', async (t) => {
  const { directory } = await fleetFor(t);
  const intent = await directory.bootIntent({ mac: macOf(1) });
  t.like(intent, { kind: 'image', version: '1.0' });
});

test('no published image: refused, and the reason says what to do', async (t) => {
  const { at } = await fleetFor(t);
  const intent = await at('default', null).bootIntent({ mac: macOf(1) });
  t.like(intent, { kind: 'refuse' });
  t.regex(intent.reason, /bootwave image build/);
});

test('a site that takes only expected machines answers only these', async (t) => {
  const { fleet, at, by } = await fleetFor(t);
  await fleet.sites.add('strict', { acceptUnknown: false }, by());
  await fleet.expect({ site: 'strict', criteria: { mac: macOf(2) }, expiresAt: null }, by());
  t.is(kind(await at('strict').bootIntent({ mac: macOf(1) })), 'refuse');
  t.is(kind(await at('strict').bootIntent({ mac: macOf(2) })), 'image');
  t.is((await at('strict').enrol(enrolment(1))).state, 'rejected');
  t.is(await fleet.nodes.get(enrolment(1).id), null);
});

test('a site may refuse BIOS machines, at the first packet and at enrolment', async (t) => {
  const world = await fleetFor(t);
  await world.fleet.sites.set('default', { bios: 'refuse' }, world.by());
  t.is(kind(await world.directory.bootIntent({ mac: macOf(1), arch: 'bios' })), 'refuse');
  t.is(kind(await world.directory.bootIntent({ mac: macOf(1), arch: 'uefi-x64' })), 'image');
  const bios = inventory(1, {
    firmware: { kind: 'bios', vendor: '', version: '', date: '' },
    secureBoot: 'absent',
  });
  t.is((await world.directory.enrol({ ...enrolment(1), inventory: bios })).state, 'rejected');
  t.deepEqual(await refusals(world), ['ENROL_BIOS: site default refuses machines that boot by BIOS']);
});

test('a site may require Secure Boot', async (t) => {
  const { fleet, directory, by } = await fleetFor(t);
  await fleet.sites.set('default', { secureBoot: 'require' }, by());
  const off = { ...enrolment(1), inventory: inventory(1, { secureBoot: 'off' }) };
  t.is((await directory.enrol(off)).state, 'rejected');
  t.is((await directory.enrol(enrolment(1))).state, 'pending');
});

test('an installed node is left to its disk, until then it gets its image', async (t) => {
  const world = await fleetFor(t);
  const node = await approved(world, 1);
  const set = (change: object) =>
    world.fleet.nodes.update(node.id, (record) => ({
      outcome: { kind: 'changed', record: { ...record!, ...change, epoch: record!.epoch + 1 }, audit: [] },
    }));
  await set({ wanted: { mode: 'installed', image: '0.9', wipe: false } });
  t.like(await world.directory.bootIntent({ mac: macOf(1) }), { kind: 'image', version: '0.9' });
  await set({ installedAt: 1 });
  t.is(kind(await world.directory.bootIntent({ mac: macOf(1) })), 'disk');
  await set({ wanted: { mode: 'netboot', image: null, wipe: false } });
  t.like(await world.directory.bootIntent({ mac: macOf(1) }), { kind: 'image', version: '1.0' });
});

test('a pin takes the place of the newest image, and of nothing that a rollout has brought', async (t) => {
  const world = await fleetFor(t);
  const { fleet, clock } = world;
  const node = await approved(world, 1);
  const rules = { floor: null as string | null, withdrawn: new Set<string>() };
  const directory = new FleetDirectory({
    released: anyImage.released,
    ...{ fleet, site: 'default', pcr11, log: silent },
    defaultImage: async () => '9.0',
    imageRules: async () => rules,
    now: () => clock.now,
  });
  const gets = async () => {
    const intent = await directory.bootIntent({ mac: macOf(1) });
    return 'version' in intent ? intent.version : intent.kind;
  };
  t.is(await gets(), '9.0');
  await fleet.pin(node.id, '1.1', 'x', clock.now + 1000, world.by());
  t.is(await gets(), '1.1');
  rules.withdrawn.add('1.1');
  t.is(await gets(), '9.0', 'it has to start something');
  rules.withdrawn.clear();
  const set = (change: object) =>
    fleet.nodes.update(node.id, (record) => ({
      outcome: { kind: 'changed', record: { ...record!, ...change, epoch: record!.epoch + 1 }, audit: [] },
    }));
  await set({ wanted: { mode: 'netboot', image: '2.0', wipe: false } });
  t.is(await gets(), '2.0', 'a rollout had begun with it');
  rules.withdrawn.add('2.0');
  t.is(await gets(), '1.1');
  await set({ state: 'quarantined' });
  t.is(await gets(), '1.1');
  await set({ state: 'degraded', wanted: { mode: 'installed', image: null, wipe: false }, installedAt: 1 });
  t.is(await gets(), 'disk');
  rules.withdrawn.add(node.observed.image);
  t.is(await gets(), '1.1', 'its disk would start what is ruled out');
  clock.now += 1000;
  await set({ wanted: { mode: 'netboot', image: null, wipe: false } });
  t.is(await gets(), '9.0', 'the pin is over');
});

test('retired machines are not answered, unless they are expected again', async (t) => {
  const world = await fleetFor(t);
  await approved(world, 2);
  await world.fleet.retire(enrolment(2).id, 'old', world.by());
  t.is(kind(await world.directory.bootIntent({ mac: macOf(2) })), 'refuse');
  await world.fleet.expect({ site: 'default', criteria: { mac: macOf(2) }, expiresAt: null }, world.by());
  t.is(kind(await world.directory.bootIntent({ mac: macOf(2) })), 'image');
});

test('a stranger that showed a MAC and was rejected keeps no machine with that MAC out', async (t) => {
  const world = await fleetFor(t);
  const nics = inventory(1).nics;
  const stranger = { ...enrolment(7), inventory: inventory(7, { nics }) };
  await world.directory.enrol(stranger);
  await world.fleet.reject(stranger.id, 'not ours', world.by());
  t.like(await world.directory.bootIntent({ mac: macOf(1) }), { kind: 'image', reason: 'new hardware' });

  t.deepEqual(await world.directory.enrol(enrolment(1)), { state: 'pending' });
  t.deepEqual((await world.fleet.nodes.get(enrolment(1).id))?.marks, []);
  t.is(await world.fleet.nodes.idOfMac(macOf(1)), enrolment(1).id);
  // Nor does it take the MAC back.
  t.is((await world.directory.enrol({ ...stranger, spkiDigest: 'f'.repeat(64) })).state, 'rejected');
  t.is(await world.fleet.nodes.idOfMac(macOf(1)), enrolment(1).id);
});

test('a site that takes only expected machines answers no rejected stranger', async (t) => {
  const { fleet, by, at } = await fleetFor(t);
  await fleet.sites.add('open', {}, by());
  await at('open').enrol(enrolment(1));
  await fleet.reject(enrolment(1).id, 'not ours', by());
  await fleet.sites.set('open', { acceptUnknown: false }, by());
  t.is(kind(await at('open').bootIntent({ mac: macOf(1) })), 'refuse');
});

test('a machine that no known maker vouches for is marked, and refused where that is required', async (t) => {
  const { fleet, by, at } = await fleetFor(t);
  await fleet.sites.add('strict', { ekCertificate: 'required' }, by());
  const unknown = enrolment(1, 1, { ekCertificate: { verified: false, reason: 'issued by CN=nobody' } });
  const refused = await at('strict').enrol(unknown);
  t.regex(refused.state === 'rejected' ? refused.reason : '', /issued by CN=nobody/);
  t.is(await fleet.nodes.get(unknown.id), null);
  await at('default').enrol(unknown);
  const record = await fleet.nodes.get(unknown.id);
  t.deepEqual(record?.marks, ['ek-unverified']);
  t.deepEqual(record?.identity.ekCertificate, unknown.ekCertificate);
  // Members too: what a site decides holds for who is there already.
  await fleet.approve(unknown.id, unknown.words, by());
  t.is(
    (await at('strict').enrol({ ...unknown, ...enrolment(1, 2), ekCertificate: unknown.ekCertificate }))
      .state,
    'rejected',
  );
  t.deepEqual(await at('strict').enrol(enrolment(2)), { state: 'pending' });
  t.deepEqual((await fleet.nodes.get(enrolment(2).id))?.marks, []);
});

test('an unknown machine waits, shows its words, and is a member once they were compared', async (t) => {
  const { fleet, directory, by } = await fleetFor(t);
  const e = enrolment(1);
  t.deepEqual(await directory.enrol(e), { state: 'pending' });
  const pending = await fleet.nodes.get(e.id);
  t.like(pending, { state: 'pending', words: [...e.words], marks: [] });
  t.deepEqual(await directory.decisionOf(e.id, e.spkiDigest), { state: 'pending' });
  await fleet.approve(e.id, e.words, by(), 'web1');
  t.deepEqual(await directory.decisionOf(e.id, e.spkiDigest), { state: 'approved', name: 'web1' });
});

test('other words approve nothing', async (t) => {
  const world = await fleetFor(t);
  const e = enrolment(1);
  await world.directory.enrol(e);
  const before = await world.fleet.nodes.get(e.id);
  await t.throwsAsync(world.fleet.approve(e.id, ['one', 'two', 'n1', 'other'], world.by()), {
    code: 'WORDS_DIFFER',
  });
  t.deepEqual(await world.fleet.nodes.get(e.id), before);
  t.is((await refusals(world)).length, 1);
});

test('words that were read before the machine enrolled again approve nothing', async (t) => {
  const { fleet, directory, by } = await fleetFor(t);
  await directory.enrol(enrolment(1, 1));
  await directory.enrol(enrolment(1, 2));
  await t.throwsAsync(fleet.approve(enrolment(1).id, enrolment(1, 1).words, by()), { code: 'WORDS_DIFFER' });
  await fleet.approve(enrolment(1).id, enrolment(1, 2).words, by());
  const old = await directory.decisionOf(enrolment(1).id, enrolment(1, 1).spkiDigest);
  t.is(old.state, 'rejected', 'the key of the older enrolment was not what the words stood for');
});

test('a name belongs to one node; a second one is refused and nothing changes', async (t) => {
  const world = await fleetFor(t);
  await approved(world, 1, 'web1');
  const e = enrolment(2);
  await world.directory.enrol(e);
  const before = await world.fleet.nodes.get(e.id);
  await t.throwsAsync(world.fleet.approve(e.id, e.words, world.by(), 'web1'), { code: 'NAME_TAKEN' });
  t.deepEqual(await world.fleet.nodes.get(e.id), before);
  t.regex((await refusals(world))[0] ?? '', /NAME_TAKEN/);
  await t.throwsAsync(world.fleet.approve(e.id, e.words, world.by(), 'Not A Label'), {
    code: 'NAME_INVALID',
  });
});

test('an approved node that boots again is recognised without a person', async (t) => {
  const world = await fleetFor(t);
  await healthy(world, 1);
  const again = enrolment(1, 2);
  t.is((await world.directory.enrol(again)).state, 'approved');
  t.like(await world.fleet.nodes.get(again.id), { state: 'enrolled', reason: 'recognised after a restart' });
  await world.directory.recordCertificate(again.id, certificateFor(again));
  t.true(await world.directory.heartbeat(again.id, certificateFor(again).serial, beatOfBoot(again)));
  t.is((await world.fleet.nodes.get(again.id))?.state, 'healthy');
});

test('the same TPM id with another attestation key is refused and changes nothing', async (t) => {
  const world = await fleetFor(t);
  const e = await healthy(world, 1);
  const before = await world.fleet.nodes.get(e.id);
  const clone = { ...enrolment(1, 2), akName: '000bffff' };
  t.is((await world.directory.enrol(clone)).state, 'rejected');
  t.is((await world.directory.decisionOf(clone.id, clone.spkiDigest)).state, 'rejected');
  t.deepEqual(await world.fleet.nodes.get(e.id), before);
  t.regex((await refusals(world))[0] ?? '', /ENROL_AK_CHANGED/);
});

test('the same enrolment twice is one', async (t) => {
  const { fleet, directory } = await fleetFor(t);
  await directory.enrol(enrolment(1));
  const entries = (await fleet.audit.read()).length;
  t.is((await directory.enrol(enrolment(1))).state, 'pending');
  t.is((await fleet.audit.read()).length, entries);
});

for (const [what, criteria] of [
  ['MAC', { mac: macOf(1) }],
  ['serial number', { serial: 'SN1' }],
  ['EK digest', { ek: enrolment(1).ekDigest! }],
] as const) {
  test(`a machine expected by its ${what} comes in by itself, once, under its name`, async (t) => {
    const { fleet, directory, by } = await fleetFor(t);
    await fleet.expect({ site: 'default', name: 'web1', criteria, expiresAt: null }, by('core'));
    t.is((await directory.enrol(enrolment(2))).state, 'pending', 'another machine');
    t.deepEqual(await directory.enrol(enrolment(1)), { state: 'approved', name: 'web1' });
    const approval = (await fleet.audit.read()).find((entry) => entry.action === 'approve');
    t.like(approval, { actor: 'policy', from: 'pending', to: 'enrolled' });
    t.deepEqual(await fleet.expectations.list(), []);
  });
}

test('a machine comes in by its MAC and serial number however the expectation spells them', async (t) => {
  const { fleet, directory, by } = await fleetFor(t);
  const criteria = {
    mac: macOf(0x1a).replaceAll(':', '-').toUpperCase(),
    serial: ' sn26',
    ek: `TPM-${enrolment(0x1a).ekDigest!.toUpperCase()}`,
  };
  await fleet.expect({ site: 'default', criteria, expiresAt: null }, by());
  t.true(await fleet.expectations.expectsMac(macOf(0x1a), 'default', 0), 'its first boot is answered');
  t.is((await directory.enrol(enrolment(0x1a))).state, 'approved');
});

test('an expectation of a serial number that no maker filled in lets nobody in', async (t) => {
  const { fleet, directory, by, redis } = await fleetFor(t);
  const made = await fleet.expect({ site: 'default', criteria: { serial: 'B7' }, expiresAt: null }, by());
  // As one that was written before they were refused.
  const old = { ...made, criteria: { serial: 'Default string' } };
  await redis.hset(KEYS.expectation(made.id), 'body', JSON.stringify(old));
  await redis.hset(KEYS.expected, 'serial:Default string', made.id, 'serial:DEFAULT STRING', made.id);
  const any = enrolment(1, 1, { inventory: inventory(1, { serial: 'Default string' }) });
  t.is((await directory.enrol(any)).state, 'pending');
});

test("a BMC's USB card, with one MAC in every server, is no conflict and lets nobody in", async (t) => {
  const world = await fleetFor(t);
  const usb = { name: 'usb0', mac: 'be:3a:f2:b6:05:9f', driver: 'cdc_ether', speed: null };
  const server = (n: number, boot = 1) =>
    enrolment(n, boot, { inventory: inventory(n, { nics: [...inventory(n).nics, usb] }) });
  await world.fleet.expect({ site: 'default', criteria: { mac: usb.mac }, expiresAt: null }, world.by());
  for (const n of [1, 2]) t.is((await world.directory.enrol(server(n))).state, 'pending');
  for (const n of [1, 2]) t.deepEqual((await world.fleet.nodes.get(server(n).id))?.marks, []);
  t.is(await world.fleet.nodes.idOfMac(usb.mac), null, 'it says of no boot whose it is');
});

test('a MAC that two members have is nobody’s own; strangers cannot make it so', async (t) => {
  const world = await fleetFor(t);
  const shared = { name: 'x', mac: macOf(99), driver: 'odd', speed: null };
  const server = (n: number, boot = 1) =>
    enrolment(n, boot, { inventory: inventory(n, { nics: [...inventory(n).nics, shared] }) });
  const marks = async (n: number, boot = 1) => {
    await world.directory.enrol(server(n, boot));
    return (await world.fleet.nodes.get(server(n).id))?.marks;
  };
  const letIn = (n: number) => world.fleet.approve(server(n).id, server(n).words, world.by());
  t.deepEqual(await marks(1), []);
  await letIn(1);
  for (const n of [2, 3, 4]) t.deepEqual(await marks(n), ['mac-conflict'], 'they only ask');
  await letIn(2);
  await letIn(3);
  t.deepEqual(await marks(5), []);
  for (const n of [1, 2, 3]) t.deepEqual(await marks(n, 2), [], 'and the mark ends with the next boot');
});

test('all that an expectation names must match', async (t) => {
  const { fleet, directory, by } = await fleetFor(t);
  const criteria = { serial: 'SN1', mac: macOf(9) };
  await fleet.expect({ site: 'default', criteria, expiresAt: null }, by());
  t.is((await directory.enrol(enrolment(1))).state, 'pending');
});

test('an expectation counts at its own site and until it expires', async (t) => {
  const { fleet, directory, at, by, clock } = await fleetFor(t);
  await fleet.sites.add('lab1', {}, by());
  await fleet.expect({ site: 'lab1', criteria: { serial: 'SN1' }, expiresAt: null }, by());
  await fleet.expect({ site: 'lab1', criteria: { serial: 'SN2' }, expiresAt: clock.now + 1000 }, by());
  t.is((await directory.enrol(enrolment(1))).state, 'pending');
  t.is((await at('lab1').enrol(enrolment(1, 2))).state, 'approved');
  clock.now += 1000;
  t.is((await at('lab1').enrol(enrolment(2))).state, 'pending');
});

test('a single-use token lets exactly one of two racing machines in, and is stored as a hash only', async (t) => {
  const { fleet, redis, directory, by } = await fleetFor(t);
  const { token, digest } = newToken();
  await fleet.expect({ site: 'default', criteria: { token: digest }, expiresAt: null }, by());
  const states = await Promise.all(
    [1, 2, 3, 4].map(async (n) => (await directory.enrol({ ...enrolment(n), token })).state),
  );
  t.deepEqual(states.toSorted(), ['approved', 'pending', 'pending', 'pending']);
  const dump = await Promise.all(
    (await redis.keys('*')).map(async (key) => {
      const type = await redis.type(key);
      if (type === 'hash') return JSON.stringify(await redis.hgetall(key));
      return type === 'stream' ? JSON.stringify(await redis.xrange(key, '-', '+')) : '';
    }),
  );
  t.false(dump.join().includes(token));
});

test('a token that is not valid leaves the machine waiting and is audited', async (t) => {
  const world = await fleetFor(t);
  t.is((await world.directory.enrol({ ...enrolment(1), token: 'bw-guess' })).state, 'pending');
  t.regex((await refusals(world))[0] ?? '', /TOKEN_INVALID/);
});

test('without a TPM: after a restart a person is asked again', async (t) => {
  const { fleet, directory, by, clock } = await fleetFor(t);
  await directory.enrol(withoutTpm(1));
  t.deepEqual((await fleet.nodes.get(withoutTpm(1).id))?.marks, ['no-tpm']);
  await fleet.approve(withoutTpm(1).id, withoutTpm(1).words, by());
  await directory.recordCertificate(withoutTpm(1).id, certificateFor(withoutTpm(1)));
  const renewal = { ...withoutTpm(1), words: ['new', 'words', 'same', 'key'] as const };
  t.is((await directory.enrol(renewal)).state, 'approved', 'it still holds the key, so it has not restarted');
  const { serial } = certificateFor(withoutTpm(1));
  t.true(await directory.heartbeat(withoutTpm(1).id, serial, beatOfBoot(withoutTpm(1))));
  clock.now += 30_000;
  t.is((await directory.enrol(withoutTpm(1, 2))).state, 'pending');
  t.false(await directory.heartbeat(withoutTpm(1).id, serial, beatOfBoot(withoutTpm(1))));
});

test('without a TPM: a site may believe such machines, or refuse them', async (t) => {
  const { fleet, at, by } = await fleetFor(t);
  await fleet.sites.add('believes', { noTpm: 'keep' }, by());
  await fleet.sites.add('refuses', { noTpm: 'refuse' }, by());
  await at('believes').enrol(withoutTpm(1));
  await fleet.approve(withoutTpm(1).id, withoutTpm(1).words, by());
  t.is((await at('believes').enrol(withoutTpm(1, 2))).state, 'approved');
  t.is((await at('refuses').enrol(withoutTpm(2))).state, 'rejected');
  t.is(await fleet.nodes.get(withoutTpm(2).id), null);
});

test('a rejected machine stays rejected when it asks again, and may be approved later', async (t) => {
  const { fleet, directory, by } = await fleetFor(t);
  await directory.enrol(enrolment(1));
  await fleet.reject(enrolment(1).id, 'not ours', by());
  t.deepEqual(await directory.enrol(enrolment(1, 2)), { state: 'rejected', reason: 'rejected: not ours' });
  await fleet.approve(enrolment(1).id, enrolment(1, 2).words, by());
  t.is((await directory.decisionOf(enrolment(1).id, enrolment(1, 2).spkiDigest)).state, 'approved');
});

test('retiring ends the certificate at once, frees the name, and keeps the machine out', async (t) => {
  const world = await fleetFor(t);
  const e = await healthy(world, 1);
  const { name } = (await world.fleet.nodes.get(e.id))!;
  await world.fleet.retire(e.id, 'old', world.by());
  t.false(await world.directory.heartbeat(e.id, certificateFor(e).serial, beatOfBoot(e)));
  await t.throwsAsync(world.directory.recordCertificate(e.id, certificateFor(e, 'ff')), {
    code: 'CERTIFICATE_NOT_MEMBER',
  });
  t.is((await world.directory.enrol(enrolment(1, 2))).state, 'rejected');
  await approved(world, 2, name);
  await world.fleet.expect({ site: 'default', criteria: { ek: e.ekDigest! }, expiresAt: null }, world.by());
  t.is((await world.directory.enrol(enrolment(1, 3))).state, 'approved');
});

test('a card that moved from a retired machine belongs to the new one; from a living one it is marked', async (t) => {
  const world = await fleetFor(t);
  await approved(world, 1);
  const nics = inventory(1).nics;
  const borrowed = { ...enrolment(2), inventory: inventory(2, { nics }) };
  await world.directory.enrol(borrowed);
  t.deepEqual((await world.fleet.nodes.get(borrowed.id))?.marks, ['mac-conflict']);
  t.is(await world.fleet.nodes.idOfMac(macOf(1)), enrolment(1).id);
  await world.fleet.retire(enrolment(1).id, 'old', world.by());
  await world.directory.enrol({ ...enrolment(2, 2), inventory: inventory(2, { nics }) });
  t.deepEqual((await world.fleet.nodes.get(borrowed.id))?.marks, []);
  t.is(await world.fleet.nodes.idOfMac(macOf(1)), borrowed.id);
});

test('a certificate is recorded only for the key that was proved last', async (t) => {
  const world = await fleetFor(t);
  await approved(world, 1);
  await world.directory.enrol(enrolment(1, 2));
  await t.throwsAsync(world.directory.recordCertificate(enrolment(1).id, certificateFor(enrolment(1, 1))), {
    code: 'CERTIFICATE_OLD_KEY',
  });
  await t.throwsAsync(world.directory.recordCertificate('tpm-none', certificateFor(enrolment(1))), {
    code: 'NODE_UNKNOWN',
  });
});

test('the first heartbeat makes a node healthy; a stale certificate, or none, makes nothing', async (t) => {
  const world = await fleetFor(t);
  const e = enrolment(1);
  await approved(world, 1);
  t.false(await world.directory.heartbeat(e.id, '', beatOfBoot(e)), 'no certificate yet');
  await world.directory.recordCertificate(e.id, certificateFor(e, 'bb'));
  t.false(await world.directory.heartbeat(e.id, 'aa', beatOfBoot(e)));
  t.is((await world.fleet.nodes.get(e.id))?.state, 'enrolled');
  t.true(await world.directory.heartbeat(e.id, 'bb', beatOfBoot(e)));
  t.like(await world.fleet.nodes.get(e.id), { state: 'healthy', reason: 'first heartbeat' });
  t.false(await world.directory.heartbeat('tpm-none', 'bb', beatOfBoot(e)));
  await world.directory.recordCertificate(e.id, certificateFor(e, 'cc'));
  t.true(await world.directory.heartbeat(e.id, 'cc', beatOfBoot(e)));
  const seen = await world.fleet.heard.lastSeenOf(e.id);
  world.clock.now += 1000;
  t.false(
    await world.directory.heartbeat(e.id, 'bb', beatOfBoot(e)),
    'a healthy node, its certificate before last',
  );
  t.is(await world.fleet.heard.lastSeenOf(e.id), seen);
});

test('a node that says it is not well is degraded with its reason, and healthy when it says so again', async (t) => {
  const world = await fleetFor(t);
  const e = await healthy(world, 1);
  const { serial } = certificateFor(e);
  await world.directory.heartbeat(e.id, serial, beatOfBoot(e, { healthy: false, reason: 'disk vda fails' }));
  t.like(await world.fleet.nodes.get(e.id), { state: 'degraded', reason: 'disk vda fails' });
  await world.directory.heartbeat(e.id, serial, beatOfBoot(e));
  t.is((await world.fleet.nodes.get(e.id))?.state, 'healthy');
});

test('a heartbeat that says nothing new writes no audit entry and no record, only when it came', async (t) => {
  const world = await fleetFor(t);
  const e = await healthy(world, 1);
  const before = await world.fleet.nodes.get(e.id);
  const entries = (await world.fleet.audit.read()).length;
  world.clock.now += 30_000;
  for (let i = 0; i < 5; i += 1) {
    t.true(
      await world.directory.heartbeat(e.id, certificateFor(e).serial, beatOfBoot(e, { uptime: 60 + i })),
    );
  }
  t.deepEqual(await world.fleet.nodes.get(e.id), before);
  t.is((await world.fleet.audit.read()).length, entries);
  t.is(await world.fleet.heard.lastSeenOf(e.id), world.clock.now);
});

test('a heartbeat from another image is a change and is audited', async (t) => {
  const world = await fleetFor(t);
  const e = await healthy(world, 1);
  const running = { ...e.running, version: '2.0' };
  await world.directory.heartbeat(e.id, certificateFor(e).serial, beatOfBoot(e, { running }));
  t.is((await world.fleet.nodes.get(e.id))?.observed.image, '2.0');
});

test('refusals are audited with their origin, and a flood of them is bounded', async (t) => {
  const world = await fleetFor(t);
  for (let i = 0; i < 50; i += 1) {
    await world.directory.refused({ code: 'CSR_INVALID', what: 'bad', from: '10.0.0.9' });
  }
  await world.directory.refused({ code: 'CSR_INVALID', what: 'bad', from: '10.0.0.10' });
  t.is((await refusals(world)).length, 11);
  world.clock.now += 60_000;
  await world.directory.refused({ code: 'CSR_INVALID', what: 'bad', from: '10.0.0.9' });
  t.deepEqual((await world.fleet.audit.read()).at(-1)?.detail, { from: '10.0.0.9', leftOut: '40' });
});

test('a known machine cannot fill the audit, neither by enrolling nor by its heartbeats', async (t) => {
  const world = await fleetFor(t);
  const tight = new FleetDirectory({
    ...anyImage,
    fleet: world.fleet,
    site: 'default',
    defaultImage: async () => '1.0',
    pcr11,
    log: silent,
    now: () => world.clock.now,
    limits: { repeats: { perPeer: 3, overall: 100, window: 60_000 } },
  });
  const address = '10.0.0.9';
  for (let boot = 1; boot <= 4; boot++) await tight.enrol(withoutTpm(1, boot, { address }));
  await tight.enrol(withoutTpm(2, 1, { address }));
  await t.throwsAsync(tight.enrol(withoutTpm(2, 2, { address })), { code: 'ENROL_TOO_OFTEN' });
  world.clock.now += 60_000;
  await t.notThrowsAsync(tight.enrol(withoutTpm(2, 2, { address })));

  const e = enrolment(3);
  await tight.enrol(e);
  await world.fleet.approve(e.id, e.words, world.by());
  const certificate = certificateFor(e);
  await tight.recordCertificate(e.id, certificate);
  const beat = (n: number) =>
    tight.heartbeat(e.id, certificate.serial, beatOfBoot(e, { healthy: false, reason: `r${n}` }));
  for (let n = 1; n <= 9; n++) t.true(await beat(n));
  t.is((await world.fleet.nodes.get(e.id))?.observed.reason, 'r3');
  world.clock.now += 60_000;
  t.true(await beat(10));
  t.is((await world.fleet.nodes.get(e.id))?.observed.reason, 'r10');
});

test('strangers cannot fill the list of those who wait; expected machines still come in', async (t) => {
  const world = await fleetFor(t);
  const tight = new FleetDirectory({
    ...anyImage,
    fleet: world.fleet,
    site: 'default',
    defaultImage: async () => '1.0',
    pcr11,
    log: silent,
    limits: { pending: 2 },
  });
  for (const n of [1, 2]) t.is((await tight.enrol(enrolment(n))).state, 'pending');
  t.is((await tight.enrol(enrolment(3))).state, 'rejected');
  await world.fleet.expect({ site: 'default', criteria: { serial: 'SN3' }, expiresAt: null }, world.by());
  t.is((await tight.enrol(enrolment(3))).state, 'approved');
});

test('of strangers with long inventories fewer may wait', async (t) => {
  const world = await fleetFor(t);
  const tight = new FleetDirectory({
    ...anyImage,
    ...{ fleet: world.fleet, site: 'default', defaultImage: async () => '1.0', pcr11, log: silent },
    limits: { pending: 3, large: { bytes: 2000, pending: 1 } },
  });
  const disks = Array.from({ length: 20 }, () => ({ ...inventory(1).disks[0]!, model: 'm'.repeat(128) }));
  const long = (n: number) => enrolment(n, 1, { inventory: inventory(n, { disks }) });
  t.is((await tight.enrol(long(1))).state, 'pending');
  t.is((await tight.enrol(long(2))).state, 'rejected');
  t.is((await tight.enrol(enrolment(3))).state, 'pending');
});

test('without its records the fleet says so by one code', async (t) => {
  const { redis, close } = await redisFor(t);
  const directory = new FleetDirectory({
    ...anyImage,
    fleet: new Fleet(redis),
    site: 'default',
    defaultImage: async () => '1.0',
    pcr11,
    log: silent,
  });
  await close();
  await t.throwsAsync(directory.bootIntent({ mac: macOf(1) }), { code: 'DIRECTORY_UNAVAILABLE' });
  await t.throwsAsync(directory.enrol(enrolment(1)), { code: 'DIRECTORY_UNAVAILABLE' });
  await t.notThrowsAsync(directory.sawBoot({ mac: macOf(1), step: 'image-sent', at: 1 }));
});

test('two machines whose automatic names would be the same get different ones', async (t) => {
  const { fleet, directory } = await fleetFor(t);
  // The first six digits of both ids are the same.
  await Promise.all([1, 2, 3].map((n) => directory.enrol(enrolment(n))));
  const names = (await fleet.nodes.getMany([1, 2, 3].map((n) => enrolment(n).id))).map((node) => node.name);
  t.is(new Set(names).size, 3);
});

test('a member that its own site refuses is let in by no other one, and moves only when a person says so', async (t) => {
  const world = await fleetFor(t);
  const { fleet, at, by } = world;
  await fleet.sites.add('lax', { attestation: 'report', noTpm: 'keep' }, by());
  const e = await healthy(world, 1);
  const wrong = enrolment(1, 2, {
    running: { ...e.running, bootId: 'b2' },
    pcrs: { ...e.pcrs!, '12': 'ff'.repeat(32) },
  });
  t.is((await world.directory.enrol(wrong)).state, 'rejected');
  const before = await fleet.nodes.get(e.id);
  t.like(before, { state: 'degraded', site: 'default' });
  t.like(await at('lax').enrol({ ...wrong, spkiDigest: enrolment(1, 3).spkiDigest }), { state: 'rejected' });
  t.like(await at('lax').enrol(enrolment(1, 4)), { state: 'rejected' }, 'nor a good boot of it');
  t.deepEqual(await fleet.nodes.get(e.id), before);
  t.regex((await refusals(world)).at(-1) ?? '', /ENROL_OTHER_SITE/);

  // Between two enrolments, too, it is its own site that judges.
  await world.directory.enrol(enrolment(1, 5));
  const good = certificateFor(enrolment(1, 5));
  await world.directory.recordCertificate(e.id, good);
  const shown = {
    akName: e.akName!,
    firmware: e.firmware,
    address: e.address,
    at: START,
    nonceNumber: e.nonceNumber,
  };
  const clock = { ...e.clock!, resets: 9 };
  const verdict = await at('lax').reattest(e.id, good.serial, { ...shown, clock, pcrs: wrong.pcrs! });
  t.like(verdict, { state: 'refused', code: 'ENROL_MEASUREMENT' });

  await t.throwsAsync(set(fleet, e.id, { site: 'nowhere' }, by()), { code: 'SITE_UNKNOWN' });
  await set(fleet, e.id, { site: 'lax' }, by());
  t.like(await at('lax').enrol(enrolment(1, 10)), { state: 'approved' });
  t.like(await world.directory.enrol(enrolment(1, 11)), { state: 'rejected' }, 'it is theirs now');
  t.deepEqual(
    [await fleet.nodes.ids({ site: 'lax' }), await fleet.nodes.ids({ site: 'default' })],
    [[e.id], []],
  );
});

test('whoever copies what a member without TPM says of itself does not take its place while it is heard', async (t) => {
  const world = await fleetFor(t);
  const { fleet, directory, clock, by } = world;
  for (const policy of ['pending', 'keep'] as const) {
    const n = policy === 'pending' ? 1 : 2;
    await fleet.sites.set('default', { noTpm: policy }, by());
    const e = withoutTpm(n);
    await directory.enrol(e);
    await fleet.approve(e.id, e.words, by());
    const { serial } = certificateFor(e);
    await directory.recordCertificate(e.id, certificateFor(e));
    const beat = () => directory.heartbeat(e.id, serial, beatOfBoot(e));
    t.true(await beat());
    const before = await fleet.nodes.get(e.id);
    for (let i = 0; i < 5; i += 1) {
      await t.throwsAsync(directory.enrol(withoutTpm(n, 2)), { code: 'ENROL_IN_USE' }, policy);
      clock.now += 10_000;
      t.true(await beat(), 'it goes on as it was');
    }
    t.deepEqual(await fleet.nodes.get(e.id), before);
    t.is(
      (await directory.enrol({ ...e, words: ['a', 'b', 'c', 'd'] })).state,
      'approved',
      'its own keys are',
    );
    clock.now += 30_000;
    const state = policy === 'keep' ? 'approved' : 'pending';
    t.is(
      (await directory.enrol(withoutTpm(n, 3))).state,
      state,
      'silent for three heartbeats: it has restarted',
    );
  }
});

test('a flood at one site leaves room at the others, and for whoever is expected', async (t) => {
  const { fleet, at, by, clock } = await fleetFor(t);
  await fleet.sites.add('flooded', {}, by());
  const flooded = new FleetDirectory({
    ...anyImage,
    ...{ fleet, site: 'flooded', pcr11, log: silent },
    defaultImage: async () => null,
    now: () => clock.now,
    limits: { pending: 10, pendingOfSite: 3 },
  });
  for (const n of [1, 2, 3]) t.is((await flooded.enrol(enrolment(n))).state, 'pending');
  const refused = await flooded.enrol(enrolment(4));
  t.is(refused.state, 'rejected');
  t.is((await at('default').enrol(enrolment(5))).state, 'pending');
  await fleet.expect({ site: 'flooded', criteria: { serial: 'SN6' }, expiresAt: null }, by());
  t.is((await flooded.enrol(enrolment(6))).state, 'approved');
});
