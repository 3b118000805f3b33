import { once } from 'node:events';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import type { Redis } from 'ioredis';
import { atRestKey } from '../../../keys/at-rest.ts';
import { keyLayout } from '../../../keys/layout.ts';
import { checkBmcs } from '../../../orchestrator/doctor/bmcs.ts';
import { power, seen, status } from '../../../orchestrator/operations/power/acts.ts';
import { firmware, remove, set, show, test as testNow } from '../../../orchestrator/operations/power/bmc.ts';
import { Actions } from '../../../orchestrator/power/actions.ts';
import { KINDS, type Kind } from '../../../orchestrator/power/bmc.ts';
import { Book } from '../../../orchestrator/power/book.ts';
import { startPower } from '../../../orchestrator/power/keep.ts';
import { testsOf } from '../../../orchestrator/power/self-test.ts';
import { beatOfBoot, certificateFor, enrolment, fleetFor, inventory, silent } from '../fleet/support.ts';
import { bench, PASSWORD, SWITCH, USER } from '../power/benches.ts';

/** A member whose machine says the UUID of the benches, and the operations as the server performs them. */
async function world(t: ExecutionContext) {
  const all = await fleetFor(t);
  const { fleet, directory, clock, paths, by } = all;
  clock.now = Date.now();
  // Of the test that had this server before.
  await rm(paths.power, { recursive: true, force: true });
  const stop = new AbortController();
  t.teardown(() => stop.abort());
  const member = async (n: number, change: object = SWITCH, where = directory) => {
    const machine = enrolment(n, 1, { inventory: inventory(n, change) });
    await where.enrol(machine);
    await fleet.approve(machine.id, machine.words, by());
    await where.enrol(machine);
    await where.recordCertificate(machine.id, certificateFor(machine));
    const beat = async (boot = 1) => {
      const booted = enrolment(n, boot, { inventory: machine.inventory });
      if (boot !== 1) {
        await where.enrol(booted);
        await where.recordCertificate(booted.id, certificateFor(booted));
      }
      clock.now = Date.now();
      return where.heartbeat(booted.id, certificateFor(booted).serial, beatOfBoot(booted));
    };
    await beat();
    return { id: machine.id, beat };
  };
  const acting = {
    ...{ fleet, paths, signal: stop.signal, log: silent, wires: () => undefined },
    get by() {
      return { actor: 'operator:ann', at: Date.now() };
    },
  } as never;
  const keeper = (times: object) => {
    const end = new AbortController();
    const done = startPower({ paths, fleet, networks: () => [], log: silent, signal: end.signal, times });
    return async () => {
      end.abort();
      await done;
    };
  };
  return { ...all, member, acting, keeper, paths };
}

async function given(t: ExecutionContext, kind: Kind, login = { user: USER, password: PASSWORD }) {
  const { access, ...rest } = await bench(t, kind, login);
  const input = {
    ...{ address: `${access.host}:${access.port}`, kind, ...login, unproven: false },
    ...(access.pin === null ? {} : { pin: access.pin }),
  };
  return { ...rest, input };
}

/** All that Redis holds, as text. */
async function everythingIn(redis: Redis): Promise<string> {
  const texts: string[] = [];
  for (const key of await redis.keys('*'))
    texts.push(key, (await redis.dumpBuffer(key))?.toString('latin1') ?? '');
  return texts.join('\n');
}

for (const kind of KINDS) {
  test(`${kind}: a power cycle is believed when the node was heard in another boot, and the journal says so`, async (t) => {
    const { member, acting, keeper, fleet } = await world(t);
    const node = await member(1);
    const { input, machine } = await given(t, kind);
    machine.power = true;
    const tested = await set({ node: node.id, ...input }, acting);
    t.true(tested.ok);
    t.is(tested.power, 'on');

    const told = await power({ node: node.id, action: 'cycle', next: 'network', reason: 'it hangs' }, acting);
    t.like(told, { before: 'on', after: 'on', did: 'cycle', rollout: null });
    t.true(machine.done.includes('on from network'));
    t.like((await seen({ node: node.id }, acting)).action, { verdict: 'waiting', said: 'on', network: true });
    const end = keeper({ look: 20, tests: 1e9 });
    await sleep(100);
    t.is(
      (await seen({ node: node.id }, acting)).action?.verdict,
      'waiting',
      'the BMC said yes, and that is all',
    );

    await node.beat(2);
    while ((await seen({ node: node.id }, acting)).action?.verdict === 'waiting') await sleep(20);
    await end();
    t.is((await seen({ node: node.id }, acting)).action?.verdict, 'seen');
    const told2 = (await fleet.audit.read({ node: node.id })).filter(({ action }) => action === 'power');
    t.deepEqual(
      told2.map(({ actor }) => actor),
      ['operator:ann', 'power'],
    );
    t.is(told2[0]?.reason, 'cycle, the next boot from the network: it hangs');
    t.regex(told2[1]?.reason ?? '', /^cycle: it restarted/);
    t.is((await status({ node: node.id }, acting)).power, 'on');
  });

  test(`${kind}: the BMC of another node is refused, however right its password is; unless a person has looked`, async (t) => {
    const { member, acting, paths } = await world(t);
    const other = await member(2, { uuid: '11111111-2222-8333-9444-555555555555', serial: 'BW-2' });
    const { input, machine } = await given(t, kind);
    await t.throwsAsync(set({ node: other.id, ...input }, acting), { code: 'BMC_OTHER_NODE' });
    await t.throwsAsync(show({ node: other.id }, acting), { code: 'BMC_NONE' });
    t.is((await new Book(paths).read()).entries.size, 0);
    t.deepEqual(machine.done, []);

    await set({ node: other.id, ...input, unproven: true }, acting);
    await power({ node: other.id, action: 'on' }, acting);
    t.deepEqual(machine.done, ['on']);
    t.true((await show({ node: other.id }, acting)).unproven);
  });
}

test('what answers there later as another machine is told nothing', async (t) => {
  const { member, acting, fleet } = await world(t);
  const node = await member(1);
  const { input, machine } = await given(t, 'redfish');
  await set({ node: node.id, ...input }, acting);
  Object.assign(machine, { uuid: '11111111-2222-8333-9444-555555555555', serial: 'BW-2' });
  await t.throwsAsync(power({ node: node.id, action: 'on' }, acting), { code: 'BMC_OTHER_NODE' });
  t.deepEqual(machine.done, []);
  const [last] = (await fleet.audit.read({ node: node.id, last: 1 })).toReversed();
  t.regex(last?.reason ?? '', /^on failed: BMC_OTHER_NODE/);
});

test('a node does not get out of reach of its BMC by giving itself another name; the test says so', async (t) => {
  const { member, acting, directory } = await world(t);
  const node = await member(1);
  const { input, machine } = await given(t, 'ipmi');
  await set({ node: node.id, ...input }, acting);
  const change = { uuid: '11111111-2222-8333-9444-555555555555', serial: 'BW-2' };
  await directory.enrol(enrolment(1, 2, { inventory: inventory(1, change) }));
  await power({ node: node.id, action: 'on' }, acting);
  t.deepEqual(machine.done, ['on']);
  const { ok, weaknesses } = await testNow({ node: node.id }, acting);
  t.true(ok);
  t.deepEqual(
    weaknesses.map(({ code }) => code),
    ['cipher-zero', 'node-differs'],
  );
});

test('a node that goes on in the same boot was not restarted, whatever its BMC said', async (t) => {
  const { member, acting, keeper, fleet } = await world(t);
  const node = await member(1);
  const { input, machine } = await given(t, 'redfish');
  machine.power = true;
  await set({ node: node.id, ...input }, acting);
  await power({ node: node.id, action: 'reset' }, acting);
  const end = keeper({ look: 20, tests: 1e9, grace: 50 });
  await sleep(100);
  await node.beat();
  while ((await seen({ node: node.id }, acting)).action?.verdict === 'waiting') await sleep(20);
  await end();
  t.like((await seen({ node: node.id }, acting)).action, {
    verdict: 'unmoved',
    why: 'the BMC said yes, and the node goes on in the same boot',
  });
  const [last] = await fleet.audit.read({ node: node.id, last: 1 });
  t.regex(last?.reason ?? '', /the BMC said yes, and the node goes on/);
});

test('a BMC that says no leaves its refusal behind; one that falls silent may have done it, and the node shows that', async (t) => {
  const { member, acting, redis } = await world(t);
  const node = await member(1);
  const { input, machine, board, stop } = await given(t, 'redfish');
  machine.power = true;
  await set({ node: node.id, ...input }, acting);
  const { isOn } = board;
  // Somebody else switches it off after the last look: what is off is not reset.
  let looks = 0;
  board.isOn = async () => {
    looks += 1;
    return looks < 4;
  };
  await t.throwsAsync(power({ node: node.id, action: 'reset' }, acting), { code: 'BMC_REFUSED' });
  t.like((await seen({ node: node.id }, acting)).action, { verdict: 'refused' });
  t.is((await new Actions(redis).waiting()).size, 0);

  board.isOn = isOn;
  machine.off = async () => {
    machine.power = false;
    await stop();
  };
  await t.throwsAsync(power({ node: node.id, action: 'off' }, acting), { code: 'BMC_SILENT' });
  t.like((await seen({ node: node.id }, acting)).action, { verdict: 'waiting', said: null });
});

test('neither Redis nor the files of the server show a password, and no operation does', async (t) => {
  const { member, acting, paths, redis } = await world(t);
  const node = await member(1);
  const { input } = await given(t, 'redfish');
  await set({ node: node.id, ...input }, acting);
  await power({ node: node.id, action: 'on' }, acting);
  t.false((await everythingIn(redis)).includes(PASSWORD));
  for (const file of await readdir(paths.power)) {
    const bytes = await readFile(join(paths.power, file));
    t.false(bytes.includes(PASSWORD) || bytes.includes(USER) || bytes.includes(node.id));
  }
  t.false(JSON.stringify(await show({ node: node.id }, acting)).includes(PASSWORD));
});

test('whoever owns Redis does not turn credentials to another host: all that leads there lies on the disk', async (t) => {
  const { member, acting, redis, fleet } = await world(t);
  const node = await member(1);
  const { input, machine } = await given(t, 'redfish');
  await set({ node: node.id, ...input }, acting);
  // All that the power of nodes keeps in Redis is gone, or says something else.
  for (const key of (await redis.keys('*')).filter((one) => one.includes('power'))) await redis.del(key);
  await redis.hset('{bootwave}:power:last', node.id, JSON.stringify({ host: '10.9.9.9', port: 1 }));
  await redis.hset('{bootwave}:power:tests', node.id, '{"host":"10.9.9.9"}');
  await power({ node: node.id, action: 'on' }, acting);
  t.deepEqual(machine.done, ['on']);
  t.truthy(await fleet.nodes.get(node.id));
});

test("a file of BMCs that was changed, or was another site's, is not believed, hides no other site, and is not written over", async (t) => {
  const { member, acting, paths } = await world(t);
  const node = await member(1);
  const { input } = await given(t, 'redfish');
  await set({ node: node.id, ...input }, acting);
  const book = new Book(paths);
  const entry = (await book.read()).entries.get(node.id)!;
  await book.set('ams', { ...entry, node: 'tpm-other' });
  t.deepEqual([...(await book.read()).entries.keys()].sort(), ['tpm-other', node.id].sort());

  await rename(join(paths.power, 'ams.bmc'), join(paths.power, 'fra.bmc'));
  t.deepEqual((await book.read()).spoilt, ['fra']);
  await power({ node: node.id, action: 'on' }, acting);
  await t.throwsAsync(book.get({ id: 'tpm-other', name: 'n9' }), { code: 'BMC_BOOK' });
  await t.throwsAsync(book.set('fra', { ...entry, node: 'tpm-x' }), { code: 'BMC_BOOK' });
  for (const site of ['../x', 'a/b', '', '.'])
    t.throws(() => void book.set(site, entry), { code: 'NAME_INVALID' }, site);
});

test('a node has one entry: where it moved, and after it was forgotten none', async (t) => {
  const { member, acting, paths } = await world(t);
  const node = await member(1);
  const { input } = await given(t, 'redfish');
  await set({ node: node.id, ...input }, acting);
  const book = new Book(paths);
  const entry = (await book.read()).entries.get(node.id)!;
  await book.set('ams', { ...entry, user: 'new', at: entry.at + 1 });
  t.deepEqual(await readdir(paths.power), ['ams.bmc']);
  t.is((await book.get({ id: node.id, name: 'n1' })).user, 'new');
  t.deepEqual(await remove({ node: node.id }, acting), { removed: true });
  t.deepEqual(await remove({ node: node.id }, acting), { removed: false });
  await t.throwsAsync(power({ node: node.id, action: 'on' }, acting), { code: 'BMC_NONE' });
  t.deepEqual(await readdir(paths.power), []);
});

test('what cannot be an address, a password or a pin is refused before anything is sent', async (t) => {
  const { member, acting } = await world(t);
  const { id: node } = await member(1);
  const { input } = await given(t, 'redfish');
  const refused = (change: object, code: string) =>
    t.throwsAsync(set({ node, ...input, ...change } as Parameters<typeof set>[0], acting), { code });
  await refused({ address: 'bmc.example' }, 'BMC_ADDRESS');
  await t.throwsAsync(power({ node, action: 'off', next: 'network' }, acting), { code: 'POWER_NEXT' });
  await refused({ pin: 'ab' }, 'BMC_PIN_INVALID');
  const missing = await refused({ pin: undefined }, 'BMC_PIN_MISSING');
  t.regex((missing as { next?: string }).next ?? '', /--pin ([0-9A-F]{2}:){31}[0-9A-F]{2}$/);
  await refused({ user: 'a:b' }, 'BMC_PASSWORD');
  await refused({ kind: 'ipmi' }, 'BMC_PIN_INVALID');
  await refused({ kind: 'ipmi', pin: undefined, password: 'x'.repeat(21) }, 'BMC_PASSWORD');
});

test('the firmware is set through Redfish, and written down; IPMI has no such thing', async (t) => {
  const { member, acting, fleet } = await world(t);
  const node = await member(1);
  const { input } = await given(t, 'redfish');
  await set({ node: node.id, ...input }, acting);
  const shown = await firmware({ node: node.id, setupMode: true, order: ['Boot0002', 'Boot0001'] }, acting);
  t.is(shown.bootOrder?.[0]?.reference, 'Boot0002');
  const [last] = await fleet.audit.read({ node: node.id, last: 1 });
  t.is(last?.reason, 'firmware: Secure Boot to setup mode; boot order Boot0002, Boot0001');
  const old = await given(t, 'ipmi');
  await set({ node: node.id, ...old.input }, acting);
  await t.throwsAsync(firmware({ node: node.id }, acting), { code: 'BMC_LACKS' });
});

test('each BMC is tested by itself, a deaf one delays no other, and doctor says what was found', async (t) => {
  const { member, acting, keeper, redis, paths } = await world(t);
  t.is((await checkBmcs(paths)).status, 'ok', 'none is known');
  const [good, deaf] = [await member(1), await member(2)];
  const [one, two] = [await given(t, 'ipmi'), await given(t, 'redfish')];
  await set({ node: good.id, ...one.input }, acting);
  await set({ node: deaf.id, ...two.input, unproven: true }, acting);
  await two.stop();
  // As if both had been tested long ago.
  await redis.del('{bootwave}:power:tests');
  const end = keeper({ look: 1e9, tests: 50 });
  const both = [good.id, deaf.id];
  while ((await testsOf(redis, both)).size < 2) await sleep(50);
  await end();
  const found = await testsOf(redis, both);
  t.like(found.get(good.id), { ok: true, power: 'off' });
  t.deepEqual(
    found.get(good.id)?.weaknesses.map(({ code }) => code),
    ['cipher-zero'],
  );
  t.like(found.get(deaf.id), { ok: false, code: 'BMC_SILENT' });
  t.false((await testNow({ node: deaf.id }, acting)).ok);
  const check = await checkBmcs(paths);
  t.is(check.status, 'warn');
  t.regex(
    check.detail,
    /^node-\S+: it takes ANY password .*, node-\S+: the BMC at 127.0.0.1 does not answer$/,
  );
});

test('slow BMCs of one site delay no tests of another', async (t) => {
  const { member, acting, keeper, redis, paths, fleet, by, at } = await world(t);
  await fleet.sites.add('fra', {}, by());
  const { input } = await given(t, 'redfish');
  const good = await member(20, SWITCH, at('fra'));
  await set({ node: good.id, ...input }, acting);
  const book = new Book(paths);
  const entry = (await book.read()).entries.get(good.id)!;
  // It takes connections, and says nothing.
  const mute = createServer().listen(0, '127.0.0.1');
  await once(mute, 'listening');
  t.teardown(() => mute.close());
  const { port } = mute.address() as AddressInfo;
  const slow: string[] = [];
  for (let n = 1; n <= 9; n++) {
    slow.push((await member(n)).id);
    await book.set('default', { ...entry, node: slow.at(-1)!, port });
  }
  await redis.del('{bootwave}:power:tests');
  t.teardown(keeper({ look: 1e9, tests: 1e9 }));
  while ((await testsOf(redis, [good.id])).size === 0 && (await testsOf(redis, slow)).size === 0)
    await sleep(20);
  t.is((await testsOf(redis, slow)).size, 0);
  t.true((await testsOf(redis, [good.id])).get(good.id)?.ok);
});

test('doctor names a default password, also of a BMC that does not answer, and a book that cannot be read', async (t) => {
  const { paths, member, acting } = await world(t);
  await mkdir(paths.power, { recursive: true });
  await writeFile(join(paths.power, 'ams.bmc'), 'spoilt');
  await atRestKey(keyLayout(paths.keys).bmcs, true);
  const check = await checkBmcs(paths);
  t.is(check.status, 'fail');
  t.regex(check.detail, /site ams/);
  const key = keyLayout(paths.keys).bmcs;
  await rename(key, `${key}.away`).catch(() => {});
  t.like(await checkBmcs(paths), { status: 'fail' });
  t.regex((await checkBmcs(paths)).detail, /missing/);
  await rm(paths.power, { recursive: true });

  const node = await member(1);
  const { input, stop } = await given(t, 'redfish', { user: 'root', password: 'calvin' });
  const { weaknesses } = await set({ node: node.id, ...input }, acting);
  t.deepEqual(
    weaknesses.map(({ code }) => code),
    ['default-password'],
  );
  await stop();
  await testNow({ node: node.id }, acting);
  t.regex(
    (await checkBmcs(paths)).detail,
    /does not answer, node-\S+: its password is the one that makers deliver/,
  );
});
