import test from 'ava';
import fc from 'fast-check';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { automaticName, checkName } from '../../../orchestrator/fleet/names.ts';
import { countsOf, overview } from '../../../orchestrator/fleet/overview.ts';
import { isMember } from '../../../orchestrator/fleet/transitions.ts';
import { planNodes } from '../../../orchestrator/rollout/run/facts.ts';
import { beatOfBoot, certificateFor, enrolment, fleetFor, inventory, macOf, withoutTpm } from './support.ts';

test('a node is found by name, id, MAC, serial number and the unique beginning of its id', async (t) => {
  const { fleet, directory, by } = await fleetFor(t);
  for (const n of [0x11, 0x12]) await directory.enrol(enrolment(n));
  const { id, words } = enrolment(0x11);
  await fleet.approve(id, words, by(), 'web1');
  for (const word of [
    'web1',
    id,
    macOf(0x11),
    macOf(0x11).toUpperCase(),
    'SN17',
    id.slice(4),
    id.slice(0, 18),
  ]) {
    t.is((await fleet.nodes.resolve(word)).id, id, word);
  }
  await t.throwsAsync(fleet.nodes.resolve('tpm-aaaa'), { code: 'NODE_AMBIGUOUS' });
  await t.throwsAsync(fleet.nodes.resolve('aaaaaa000'), { code: 'NODE_AMBIGUOUS' });
  await t.throwsAsync(fleet.nodes.resolve('tpm-bbbb'), { code: 'NODE_UNKNOWN' });
  await t.throwsAsync(fleet.nodes.resolve('t'), { code: 'NODE_UNKNOWN' });
});

test('a serial number that reads like the id of another node stands for neither', async (t) => {
  const { fleet, directory } = await fleetFor(t);
  const victim = enrolment(1);
  await directory.enrol(victim);
  const claimed = victim.id.slice(0, 18);
  await directory.enrol(withoutTpm(2, 1, { inventory: inventory(2, { serial: claimed }) }));
  await t.throwsAsync(fleet.nodes.resolve(claimed), { code: 'NODE_AMBIGUOUS' });
  t.is((await fleet.nodes.resolve(victim.id)).id, victim.id);
});

test('a MAC, a name, an id and a serial number find their node however they are spelled', async (t) => {
  const { fleet, directory, by } = await fleetFor(t);
  await directory.enrol(enrolment(0x1a));
  const { id, words } = enrolment(0x1a);
  await fleet.approve(id, words, by(), 'web1');
  const mac = macOf(0x1a);
  for (const word of [
    mac.replaceAll(':', '-'),
    mac.replaceAll(':', '').toUpperCase(),
    '5254.0000.001a',
    ' sn26 ',
    'Sn26',
    'WEB1',
    id.toUpperCase(),
    id.slice(0, 18).toUpperCase(),
  ])
    t.is((await fleet.nodes.resolve(word)).id, id, word);
});

test('what three nodes show names none of them, so nothing is done to any', async (t) => {
  const { fleet, directory } = await fleetFor(t);
  const nics = [
    ...inventory(9).nics,
    { name: 'usb0', mac: 'be:3a:f2:b6:05:9f', driver: 'cdc_ether', speed: null },
  ];
  for (const n of [1, 2, 3])
    await directory.enrol(enrolment(n, 1, { inventory: inventory(n, { serial: 'Board 7', nics }) }));
  for (const word of ['Board 7', 'BOARD 7', macOf(9), 'BE-3A-F2-B6-05-9F'])
    await t.throwsAsync(fleet.nodes.resolve(word), { code: 'NODE_AMBIGUOUS', message: /3 nodes/ });
});

test('a serial number that no maker filled in names no node, also when only one shows it so far', async (t) => {
  const { fleet, directory } = await fleetFor(t);
  await directory.enrol(enrolment(1, 1, { inventory: inventory(1, { serial: 'Default string' }) }));
  await t.throwsAsync(fleet.nodes.resolve('Default string'), { code: 'NODE_AMBIGUOUS' });
  await t.throwsAsync(fleet.nodes.resolve('0123456789'), { code: 'NODE_UNKNOWN' });
});

test('a board that comes back with another TPM: its serial number is that of the living node', async (t) => {
  const { fleet, directory, by } = await fleetFor(t);
  const [old, board] = [enrolment(1), { inventory: inventory(1) }];
  await directory.enrol(old);
  await fleet.approve(old.id, old.words, by());
  const now = enrolment(2, 1, board);
  await directory.enrol(now);
  await t.throwsAsync(fleet.nodes.resolve('SN1'), { code: 'NODE_AMBIGUOUS' });
  await fleet.retire(old.id, 'its TPM died', by());
  for (const word of ['SN1', macOf(1)]) t.is((await fleet.nodes.resolve(word)).id, now.id, word);
  await fleet.retire(now.id, 'gone too', by());
  await t.throwsAsync(fleet.nodes.resolve('SN1'), { code: 'NODE_AMBIGUOUS' });
  t.is((await fleet.nodes.resolve(old.id)).id, old.id);
});

test('twenty people approve one node at once: it is approved once', async (t) => {
  const { fleet, directory, by } = await fleetFor(t);
  const e = enrolment(1);
  await directory.enrol(e);
  await Promise.all(Array.from({ length: 20 }, (_, i) => fleet.approve(e.id, e.words, by(`p${i}`))));
  const approvals = (await fleet.audit.read()).filter((entry) => entry.action === 'approve');
  t.is(approvals.length, 1);
  t.is((await fleet.nodes.get(e.id))?.approvedBy, approvals[0]?.actor);
});

test('random histories of several nodes at once: names stay unique and the indexes tell the truth', async (t) => {
  const { fleet, directory, by, redis } = await fleetFor(t);
  const machines = [1, 2, 3, 4, 5];
  const action = fc.record({
    n: fc.constantFrom(...machines),
    boot: fc.integer({ min: 1, max: 2 }),
    what: fc.constantFrom('enrol', 'approve', 'reject', 'retire', 'certify', 'expect'),
    name: fc.option(fc.constantFrom('web1', 'web2'), { nil: undefined }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(action, { maxLength: 4 }), { maxLength: 12 }), async (rounds) => {
      await redis.flushall();
      const act = async ({ n, boot, what, name }: (typeof rounds)[number][number]) => {
        const e = enrolment(n, boot);
        if (what === 'enrol') await directory.enrol(e);
        if (what === 'approve') await fleet.approve(e.id, e.words, by(), name);
        if (what === 'reject') await fleet.reject(e.id, 'no', by());
        if (what === 'retire') await fleet.retire(e.id, 'old', by());
        if (what === 'certify') await directory.recordCertificate(e.id, certificateFor(e));
        if (what === 'expect') {
          const criteria = { serial: `SN${n}` };
          await fleet.expect({ site: 'default', name, criteria, expiresAt: null }, by());
        }
      };
      for (const round of rounds) {
        const ends = await Promise.allSettled(round.map(act));
        for (const end of ends) {
          if (end.status === 'rejected' && typeof end.reason?.code !== 'string') throw end.reason;
        }
      }
      const records = await fleet.nodes.getMany(await fleet.nodes.ids());
      const named = records.filter((record) => record.state !== 'retired');
      const reserved = (await fleet.expectations.list()).filter((e) => e.name !== null);
      const owners = [...named.map((r) => [r.name, r.id]), ...reserved.map((e) => [e.name ?? '', e.id])];
      if (new Set(owners.map(([name]) => name)).size !== owners.length) return false;
      const index = await redis.hgetall('{bootwave}:names');
      if (JSON.stringify(Object.entries(index).sort()) !== JSON.stringify(owners.sort())) return false;
      for (const record of records) {
        const states = await redis.sismember(`{bootwave}:nodes:state:${record.state}`, record.id);
        const audit = await fleet.audit.read({ node: record.id });
        const steps = audit.filter((entry) => entry.action !== 'refused');
        if (states !== 1 || steps.length !== record.epoch) return false;
        if (steps.at(-1)?.to !== record.state) return false;
        if ((await redis.zscore('{bootwave}:seen', record.id)) !== null && !isMember(record.state))
          return false;
      }
      const inStates = await redis.keys('{bootwave}:nodes:state:*');
      const listed = inStates.length === 0 ? 0 : (await redis.sunion(...inStates)).length;
      const total = (await Promise.all(inStates.map((key) => redis.scard(key)))).reduce((a, b) => a + b, 0);
      return listed === records.length && total === records.length;
    }),
    { numRuns: 25 },
  );
  t.pass();
});

test('registered, reachable, healthy and usable are four numbers', async (t) => {
  const { fleet, directory, by, clock } = await fleetFor(t);
  // 1 waits, 2 approved only, 3 healthy on the wanted image, 4 healthy on another one, 5 degraded, 6 unreachable.
  for (const n of [1, 2, 3, 4, 5, 6]) await directory.enrol(enrolment(n));
  for (const n of [2, 3, 4, 5, 6]) await fleet.approve(enrolment(n).id, enrolment(n).words, by());
  for (const n of [3, 4, 5, 6]) {
    const e = enrolment(n);
    await directory.recordCertificate(e.id, certificateFor(e));
    const running = { ...e.running, version: n === 4 ? '0.9' : '1.0' };
    await directory.heartbeat(e.id, certificateFor(e).serial, beatOfBoot(e, { running, healthy: n !== 5 }));
  }
  await fleet.nodes.update(enrolment(6).id, (record) => ({
    outcome: {
      kind: 'changed',
      record: { ...record!, state: 'unreachable', epoch: record!.epoch + 1 },
      audit: [],
    },
  }));
  for (const n of [3, 4])
    await fleet.nodes.update(enrolment(n).id, (record) => ({
      outcome: {
        kind: 'changed',
        record: { ...record!, wanted: { ...record!.wanted, image: '1.0' }, epoch: record!.epoch + 1 },
        audit: [],
      },
    }));
  const { counts, nodes } = await overview(fleet, {}, clock.now);
  t.deepEqual(counts, { registered: 5, reachable: 3, healthy: 2, usable: 1 });
  t.is(nodes.length, 6);
  t.is((await overview(fleet, { state: 'pending' }, clock.now)).nodes.length, 1);
  t.is((await overview(fleet, { site: 'elsewhere' }, clock.now)).nodes.length, 0);
  t.deepEqual(countsOf([]), { registered: 0, reachable: 0, healthy: 0, usable: 0 });
});

test('a node of which no image in particular is wanted stays usable when another one is published', async (t) => {
  const { fleet, directory, by, clock, at } = await fleetFor(t);
  for (const n of [1, 2]) {
    const e = enrolment(n);
    await directory.enrol(e);
    await fleet.approve(e.id, e.words, by());
    await directory.recordCertificate(e.id, certificateFor(e));
    await directory.heartbeat(e.id, certificateFor(e).serial, beatOfBoot(e));
  }
  // From now on the newest image is another one.
  t.like(await at('default', '1.1').bootIntent({ mac: macOf(9) }), { kind: 'image', version: '1.1' });
  t.is((await overview(fleet, {}, clock.now)).counts.usable, 2);
});

test('an expectation can be taken back, and gives its name back when it expires', async (t) => {
  const { fleet, by, clock, directory } = await fleetFor(t);
  const wanted = { site: 'default', name: 'web1', criteria: { mac: macOf(1) }, expiresAt: clock.now + 1000 };
  const first = await fleet.expect(wanted, by());
  await t.throwsAsync(fleet.expect(wanted, by()), { code: 'EXPECT_EXISTS' });
  await t.throwsAsync(fleet.expect({ ...wanted, criteria: { mac: macOf(2) } }, by()), { code: 'NAME_TAKEN' });
  await fleet.expectations.withdraw(first.id, by());
  await t.throwsAsync(fleet.expectations.withdraw(first.id, by()), { code: 'EXPECT_UNKNOWN' });
  await fleet.expect(wanted, by());
  clock.now += 1000;
  await fleet.expect({ ...wanted, expiresAt: null }, by());
  t.deepEqual(await directory.enrol(enrolment(1)), { state: 'approved', name: 'web1' });
});

test('what is here already cannot be expected', async (t) => {
  const { fleet, directory, by } = await fleetFor(t);
  await directory.enrol(enrolment(1));
  for (const criteria of [{ mac: macOf(1) }, { serial: 'SN1' }, { ek: enrolment(1).ekDigest! }]) {
    await t.throwsAsync(fleet.expect({ site: 'default', criteria, expiresAt: null }, by()), {
      code: 'EXPECT_KNOWN',
    });
  }
  await t.throwsAsync(fleet.expect({ site: 'nowhere', criteria: { serial: 'x' }, expiresAt: null }, by()), {
    code: 'SITE_UNKNOWN',
  });
  for (const criteria of [{}, { mac: 'AA' }, { ek: '12' }, { serial: '' }]) {
    await t.throwsAsync(fleet.expect({ site: 'default', criteria, expiresAt: null }, by()), {
      code: 'EXPECT_INVALID',
    });
  }
});

test('what any board may show cannot be expected', async (t) => {
  const { fleet, directory, by } = await fleetFor(t);
  const expect = (criteria: object) => fleet.expect({ site: 'default', criteria, expiresAt: null }, by());
  for (const criteria of [
    { serial: 'Default string' },
    { serial: 'to be filled by O.E.M.', mac: macOf(1) },
    { serial: '0000000' },
    { mac: 'ff:ff:ff:ff:ff:ff' },
    { mac: '00-00-00-00-00-00' },
  ])
    await t.throwsAsync(expect(criteria), { code: 'EXPECT_INVALID' }, JSON.stringify(criteria));
  for (const n of [1, 2])
    await directory.enrol(enrolment(n, 1, { inventory: inventory(n, { serial: 'B7' }) }));
  await t.throwsAsync(expect({ serial: 'b7' }), { code: 'EXPECT_KNOWN' }, 'two show it already');
});

test('the default site is always there; others are made once and keep what was not named', async (t) => {
  const { fleet, by } = await fleetFor(t);
  t.deepEqual(
    (await fleet.sites.list()).map((site) => site.name),
    ['default'],
  );
  await fleet.sites.add('lab1', { bios: 'refuse' }, by());
  await t.throwsAsync(fleet.sites.add('lab1', {}, by()), { code: 'SITE_EXISTS' });
  await t.throwsAsync(fleet.sites.add('default', {}, by()), { code: 'SITE_EXISTS' });
  await t.throwsAsync(fleet.sites.set('lab2', {}, by()), { code: 'SITE_UNKNOWN' });
  await fleet.sites.set('lab1', { noTpm: 'keep' }, by());
  await fleet.sites.set('default', { noTpm: 'refuse' }, by());
  t.like((await fleet.sites.get('lab1')).policy, { bios: 'refuse', noTpm: 'keep', acceptUnknown: true });
  t.is((await fleet.sites.get('default')).policy.noTpm, 'refuse');
});

test('names are DNS labels that cannot be taken for ids', (t) => {
  for (const name of ['a', 'web1', 'a-b', 'x'.repeat(63)]) t.is(checkName(name), name);
  for (const name of ['', '-a', 'a-', 'A', 'a.b', 'a_b', 'x'.repeat(64), 'tpm-1', 'dev-x', 'ä', 'a\n']) {
    t.throws(() => checkName(name), { code: 'NAME_INVALID' }, name);
  }
  fc.assert(
    fc.property(fc.stringMatching(/^(tpm|dev)-[0-9a-f]{64}$/), fc.nat(4), (id, attempt) => {
      const name = automaticName(id, attempt) ?? '';
      t.regex(name, /^[a-z0-9][a-z0-9-]{0,61}[a-z0-9]$/);
      t.throws(() => checkName(name), { code: 'NAME_INVALID' }, 'no other machine is called like that');
    }),
  );
});

test('no name comes to mean another node: not by its id, not by its serial number, not by its own name to come', async (t) => {
  const { fleet, directory, by } = await fleetFor(t);
  const id = 'deadbeef'.padEnd(64, '0');
  const theirs = enrolment(1, 1, { id: `tpm-${id}`, inventory: inventory(1, { serial: 'sn-77' }) });
  const own = enrolment(2);
  for (const e of [theirs, own]) await directory.enrol(e);
  const approve = (name: string) => fleet.approve(own.id, own.words, by(), name);
  for (const name of ['deadbeef', 'dead', 'sn-77'])
    await t.throwsAsync(approve(name), { code: 'NAME_AMBIGUOUS' }, name);
  const expect = (name: string) =>
    fleet.expect({ site: 'default', name, criteria: { mac: macOf(9) }, expiresAt: null }, by());
  await t.throwsAsync(expect('deadbeef'), { code: 'NAME_AMBIGUOUS' });
  await t.throwsAsync(approve('node-deadbe'), { code: 'NAME_INVALID' });
  await t.throwsAsync(expect('node-deadbe'), { code: 'NAME_INVALID' });
  t.like(await fleet.nodes.resolve('deadbeef'), { id: theirs.id });
  t.is((await fleet.nodes.resolve('sn-77')).id, theirs.id);
  // Named before the other machine came: the word then means neither, and whole ids still do.
  await approve('cafe');
  const later = enrolment(3, 1, { id: `dev-${'cafe'.padEnd(64, '1')}` });
  t.is((await fleet.nodes.resolve('cafe')).id, own.id);
  await directory.enrol(later);
  await t.throwsAsync(fleet.nodes.resolve('cafe'), { code: 'NODE_AMBIGUOUS' });
  t.is((await fleet.nodes.resolve(own.id)).id, own.id);
  t.is((await fleet.nodes.resolve('cafe1111')).id, later.id);
});

for (const [what, spoil] of [
  ['is no JSON', () => '{"id":'],
  ['is of another shape', () => '{}'],
  ['has a state that this version does not know', (body: string) => body.replace('"pending"', '"frozen"')],
  ['is that of another node', (body: string) => body.replaceAll(enrolment(1).id, enrolment(2).id)],
] as const)
  test(`a record that ${what} is named, and hides and stops no other`, async (t) => {
    const { fleet, redis, directory, by } = await fleetFor(t);
    for (const n of [1, 2]) await directory.enrol(enrolment(n));
    await fleet.approve(enrolment(2).id, enrolment(2).words, by());
    const key = KEYS.node(enrolment(1).id);
    await redis.hset(key, 'body', spoil((await redis.hget(key, 'body'))!));
    await t.throwsAsync(fleet.nodes.get(enrolment(1).id), { code: 'RECORD_UNREADABLE' });
    const seen = await overview(fleet, {}, Date.now());
    t.deepEqual(
      seen.nodes.map(({ id }) => id),
      [enrolment(2).id],
    );
    t.is(seen.unreadable.length, 1);
    t.true(seen.unreadable[0]?.includes(enrolment(1).id));
    t.is((await planNodes(fleet, [])).length, 1);
    t.is((await fleet.nodes.resolve(macOf(2))).id, enrolment(2).id);
  });
