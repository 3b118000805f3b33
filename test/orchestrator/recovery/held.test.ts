/** The road of a held machine, through the door that a boot server uses, with the signer that `bootwave up` runs. */
import test from 'ava';
import { take } from '../../../orchestrator/fleet/outcome.ts';
import { decideIncident } from '../../../orchestrator/recovery/incidents.ts';
import { forPeopleWhy } from '../../../orchestrator/recovery/playbook.ts';
import { signalled } from '../../../orchestrator/recovery/signalled.ts';
import type { EnrolmentDecision } from '../../../protocol/enrolment/enrolment.ts';
import type { WipeReport } from '../../../protocol/enrolment/wipe.ts';
import { certificateFor, enrolment, inventory, macOf, quoted, START } from '../fleet/support.ts';
import { BY, DISK, heldWorld, ODD } from './held-world.ts';

type Held = Extract<EnrolmentDecision, { state: 'held' }>;

test('fenced, held, given its order, wiped, let in with new keys', async (t) => {
  const { fleet, directory, id, says, restarts, report, shown, opened, stands, fences } = await heldWorld(t);
  await says('wipe');
  await fences();
  t.like(await directory.bootIntent({ mac: macOf(1) }), { kind: 'image', version: '1.0' }, 'never its disk');

  const held = (await restarts(2)) as Held;
  t.is(held.state, 'held');
  t.like(opened(held.order), {
    ...{ mode: 'netboot', image: null, config: null, wipe: true },
    incident: { number: 1, installed: [DISK], others: 'leave' },
  });
  t.like(stands(), { step: 'wiping' });
  const again = (await directory.decisionOf(id, enrolment(1, 2).spkiDigest)) as Held;
  t.deepEqual(again.order, held.order, 'asked again, the same bytes');
  await t.throwsAsync(directory.recordCertificate(id, certificateFor(enrolment(1, 2))), {
    code: 'CERTIFICATE_HELD',
  });

  await directory.wiped(id, shown(2), report);
  t.like(stands(), { step: 'wiped', wipe: { disks: [DISK] } });
  t.like(await fleet.nodes.get(id), { state: 'recovering', installedAt: null, disks: [] });
  t.is((await directory.bootIntent({ mac: macOf(1) })).kind, 'image');

  const back = enrolment(1, 3);
  t.like(await directory.enrol(back), { state: 'approved' });
  await directory.recordCertificate(id, certificateFor(back));
  t.like(stands(), { step: 'returning' });
  t.like(await fleet.nodes.get(id), { state: 'enrolled', wanted: { mode: 'installed' } });
});

test('without the consent of its site a person decides, and nothing is signed', async (t) => {
  const { restarts, stands, fences } = await heldWorld(t);
  await fences();
  const held = (await restarts(2)) as Held;
  t.is(held.order, null);
  t.regex(held.reason, /nobody has said that machines of site default may be wiped/);
  t.like(stands(), { step: 'person' });
  t.regex(((await restarts(3)) as Held).reason, /a person decides/);
});

test('it comes before its server has looked at the incident: what people decide gets no order', async (t) => {
  const cases = [
    { signal: 'cloned', tries: {}, why: /which of the two machines/ },
    { signal: 'measurement', tries: { repeats: 2 }, why: /3 times within a day/ },
    { signal: ODD.signal, tries: { returns: 2 }, why: /came back from a wipe/ },
  ];
  for (const { signal, tries, why } of cases) {
    const { fleet, id, says, restarts, stands, fences } = await heldWorld(t);
    await says('wipe');
    await fences(signal);
    await decideIncident(fleet, id, (now) => ({ ...now!, tries }), BY);
    const held = (await restarts(2)) as Held;
    t.is(held.order, null);
    t.regex(held.reason, why);
    t.like(stands(), { step: 'fenced' });
  }
});

test('a drill, or what people want, goes on after two incidents in a day; and a drill counts as none', (t) => {
  const known = { number: 2, step: 'ended', signal: 'measurement', tries: { repeats: 1 }, at: 1000 } as never;
  const about = { node: 'n', name: 'n', site: 's' };
  const cause = { road: 'compromised', evidence: [], reason: 'x' } as const;
  const third = (signal: string) => signalled(known, about, { ...cause, signal }, 2000)!;
  t.regex(forPeopleWhy(third('measurement')) ?? '', /3 times within a day/);
  for (const signal of ['drill', 'plan', 'operator']) t.is(forPeopleWhy(third(signal)), null, signal);
  const drilled = { ...third('drill'), step: 'ended', at: 3000 } as never;
  t.is(signalled(drilled, about, { ...cause, signal: 'measurement' }, 4000)!.tries.repeats, 2);
});

test('what could not be wiped is said, and a person decides', async (t) => {
  const all: [Partial<WipeReport>, RegExp][] = [
    [{ wiped: [], open: [{ name: DISK, why: 'it still reads as before' }] }, /still reads as before/],
    [{ wiped: ['another'] }, /not wiped/],
  ];
  for (const [more, why] of all) {
    const { id, directory, says, restarts, report, shown, stands, fences } = await heldWorld(t);
    await says('wipe');
    await fences();
    await restarts(2);
    await t.throwsAsync(directory.wiped(id, shown(2), { ...report, ...more }), { code: 'WIPE_OPEN' });
    t.like(stands(), { step: 'person' });
    t.regex(stands()!.reason, why);
    t.is((await restarts(3)).state, 'held');
  }
});

test('a report counts only of this machine, for this incident, on a released image under Secure Boot', async (t) => {
  const { id, directory, says, restarts, report, shown, stands, fences } = await heldWorld(t);
  const refused = (code: string, change: Parameters<typeof shown>[1], more = {}) =>
    t.throwsAsync(directory.wiped(id, shown(2, change), { ...report, ...more }), { code });
  await refused('WIPE_OTHER', {});
  await says('wipe');
  await fences();
  await refused('WIPE_OTHER', {});
  await restarts(2);
  await refused('WIPE_OTHER', {}, { incident: 2 });
  await refused('ENROL_AK_CHANGED', { akName: 'another' });
  await refused('WIPE_NOT_ATTESTED', { pcrs: quoted('2.0', 'd'.repeat(64)) });
  await refused('WIPE_NOT_ATTESTED', { firmware: { secureBoot: false, foreign: [], optionRoms: [] } });
  t.like(stands(), { step: 'wiping' });
  await directory.wiped(id, shown(2), report);
  await refused('WIPE_OTHER', {});
  t.like(stands(), { step: 'wiped' });
});

test('a machine whose site only reports measurements must show good ones here', async (t) => {
  const { id, fleet, directory, says, restarts, report, shown, fences } = await heldWorld(t);
  await says('wipe');
  await fleet.sites.set('default', { attestation: 'report' }, { actor: 'operator:ann', at: 1 });
  await fences();
  const odd = { pcrs: quoted('2.0', 'd'.repeat(64)) };
  t.is((await restarts(2, odd)).state, 'held');
  await t.throwsAsync(directory.wiped(id, shown(2, odd), report), { code: 'WIPE_NOT_ATTESTED' });
});

test('one without Secure Boot gets its order, and is believed nothing', async (t) => {
  const { id, directory, says, restarts, report, shown, fences } = await heldWorld(t);
  await says('wipe');
  await fences();
  const off = {
    firmware: { secureBoot: false, foreign: [], optionRoms: [] },
    inventory: inventory(1, { secureBoot: 'off' }),
  };
  t.is((await restarts(2, off)).state, 'held');
  await t.throwsAsync(directory.wiped(id, shown(2, off), report), { code: 'WIPE_SECURE_BOOT' });
});

test('it runs on with its old keys: it is told to start again; with another attestation key it is another machine', async (t) => {
  const { directory, one, says, restarts, fences } = await heldWorld(t);
  await says('wipe');
  await fences();
  t.like(await directory.enrol({ ...one, words: ['a', 'b', 'c', 'd'] }), {
    ...{ state: 'held', order: null, restart: true },
  });
  t.like(await restarts(2, { akName: 'another' }), { state: 'rejected' });
});

test('root on the fenced machine makes new keys in the same boot: no order, and no report of a wipe counts until it has started anew', async (t) => {
  const { directory, one, id, says, restarts, report, shown, stands, fences } = await heldWorld(t);
  await says('wipe');
  await fences();
  // A resume leaves the memory, and whoever is in it, as it was.
  for (const [keys, resumed] of [
    [7, 0],
    [8, 1],
  ] as const) {
    const clock = { ...one.clock!, milliseconds: 1000 + keys, restarts: resumed };
    const fresh = enrolment(1, keys, { running: one.running, clock });
    t.like(await directory.enrol(fresh), { state: 'held', order: null, restart: true });
    t.like(stands(), { step: 'fenced' });
  }
  await restarts(2);
  t.like(stands(), { step: 'wiping' });
  await fences('measurement');
  t.like(stands(), { step: 'wiping', resets: 1 }, 'more evidence asks for no other start');
  await directory.wiped(id, shown(2), report);
  t.like(stands(), { step: 'wiped' });
  await fences('measurement');
  t.like(stands(), { step: 'fenced', resets: 2 });
  t.like(await directory.decisionOf(id, enrolment(1, 2).spkiDigest), { state: 'held', restart: true });
});

test('whoever has the order of a fenced machine reports nothing from the boot in which it was fenced', async (t) => {
  const { fleet, directory, one, id, says, report, stands, fences } = await heldWorld(t);
  await says('wipe');
  await fences();
  await decideIncident(fleet, id, (known) => ({ ...known!, step: 'wiping' }), BY);
  const { akName, pcrs, clock, firmware, address, at } = one;
  const shown = { akName: akName!, pcrs: pcrs!, clock: { ...clock!, milliseconds: 2000 }, firmware };
  await t.throwsAsync(
    directory.wiped(id, { ...shown, nonceNumber: Number.MAX_SAFE_INTEGER, address, at }, report),
    { code: 'WIPE_SAME_BOOT' },
  );
  t.like(stands(), { step: 'wiping' });
});

test('while it reported its wipe the incident became a matter of people: it stays held, and its disks stay known', async (t) => {
  const { fleet, id, recovery, says, restarts, report, stands, fences } = await heldWorld(t);
  await says('wipe');
  await fences();
  await restarts(2);
  const [record, before] = [(await fleet.nodes.get(id))!, stands()!];
  await decideIncident(fleet, id, (known) => ({ ...known!, step: 'person', reason: 'too long' }), BY);
  await recovery.wiped(record, before, report);
  t.like(stands(), { step: 'person', wipe: null });
  t.like(await fleet.nodes.get(id), { state: 'quarantined', disks: [DISK] });
});

test('one that started something else is refused and has to start again; a copy of its TPM stops both', async (t) => {
  const { id, bans, says, restarts, fences } = await heldWorld(t);
  await says('wipe');
  await fences();
  t.like(await restarts(2, { pcrs: quoted('2.0', 'd'.repeat(64)) }), { state: 'rejected', restart: true });
  t.is((await restarts(5)).state, 'held');
  t.is((await restarts(3)).state, 'rejected', 'its TPM counts backwards');
  await bans.look();
  t.not(bans.banOf({ id }), null);
  t.is((await restarts(6)).state, 'rejected');
});

test('while the automation stands still, what it fenced itself is not wiped; what a person fenced is', async (t) => {
  for (const [signal, isWiped] of [
    ['operator', true],
    ['measurement', false],
  ] as const) {
    const { says, restarts, stands, fences, breaker } = await heldWorld(t);
    await says('wipe');
    breaker.why = 'half of the rack has signals';
    await fences(signal);
    const held = (await restarts(2)) as Held;
    t.is(held.order !== null, isWiped, signal);
    t.like(stands(), { step: isWiped ? 'wiping' : 'fenced' });
    if (isWiped) continue;
    t.regex(held.reason, /stands still: half of the rack/);
    breaker.why = null;
    t.not(((await restarts(3)) as Held).order, null);
  }
});

test('a person who ends an incident lets nobody in by that alone, and a fenced node is let in at its own site only', async (t) => {
  const { fleet, id, at, restarts, fences } = await heldWorld(t);
  await fleet.sites.add('par', {}, BY);
  await fences();
  const elsewhere = await at('par').enrol(enrolment(1, 2));
  t.like(elsewhere, { state: 'rejected' });
  t.regex((elsewhere as { reason: string }).reason, /is of site default/);
  await decideIncident(fleet, id, (known) => ({ ...known!, step: 'ended', reason: 'a mistake' }), BY);
  t.like(await restarts(3), { state: 'rejected' });
  t.is((await fleet.nodes.get(id))?.state, 'quarantined');
  await fleet.nodes.update(id, (record) => ({
    outcome: take(record!, {
      to: 'recovering',
      at: START,
      actor: 'ann',
      action: 'incident',
      reason: 'a mistake',
    }),
  }));
  t.like(await restarts(4), { state: 'approved' });
});
