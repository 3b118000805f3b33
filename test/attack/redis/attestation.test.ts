/** What was tried with every right over Redis on what machines are held against: counters of TPMs, models, keys of Secure Boot. */
import test, { type ExecutionContext } from 'ava';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import type { Enrolment } from '../../../protocol/enrolment/enrolment.ts';
import {
  beatOfBoot,
  certificateFor,
  enrolment,
  inventory,
  quoted,
} from '../../orchestrator/fleet/support.ts';
import { directoryOf, rewriteNode, server } from './server.ts';

const GOOD = '0a'.repeat(32);
const STRANGE = '0b'.repeat(32);
const MODEL = 'QEMU Standard PC';

/** Machine 1, which tells how often it was reset, and for how long it runs. */
const counting = (boot: number, resets: number, milliseconds: number, nonceNumber = 10 ** 12): Enrolment =>
  enrolment(1, boot, { clock: { resets, restarts: 0, milliseconds, safe: true }, nonceNumber });
const NODE = enrolment(1).id;
const AK = enrolment(1).akName!;
const stored = (text: string) => `${text} 0`;

async function fleet(t: ExecutionContext) {
  const world = await server(t);
  const { directory, admit, fleet } = world;
  const up = async (e: Enrolment) => {
    await admit(e);
    await directory.heartbeat(e.id, certificateFor(e).serial, beatOfBoot(e, { healthy: true }));
  };
  /** What becomes of a machine that enrols. */
  const comes = async (e: Enrolment, of = directory) => {
    const said = await of.enrol(e).catch(({ code }: { code: string }) => ({ state: code }));
    return 'reason' in said && said.state === 'rejected' ? `rejected: ${said.reason}` : said.state;
  };
  const banned = async () => (await fleet.decisionLog.set()).banOf({ id: NODE }) !== null;
  return { ...world, up, comes, banned };
}

test('deleted, rolled back: the counters of a TPM; a copy of it is seen all the same', async (t) => {
  for (const how of ['deleted', 'rolled back', 'replayed'] as const) {
    const { redis, up, comes, banned } = await fleet(t);
    await up(counting(1, 3, 500));
    const before = (await redis.hget(KEYS.clocks, AK))!;
    t.is(await comes(counting(2, 5, 900)), 'approved');
    if (how === 'deleted') await redis.del(KEYS.clocks, KEYS.nonces);
    else await redis.hset(KEYS.clocks, AK, how === 'replayed' ? before : '1 0 1 0');
    await rewriteNode(redis, NODE, ({ observed }) => ({ observed: { ...observed, clock: null } }));
    t.regex(await comes(counting(3, 4, 600)), /counts backwards/, how);
    t.true(await banned(), how);
  }
});

test('forged: higher counters than a member has shown, here and in its record; it is not taken for a copy', async (t) => {
  const { redis, open, up, comes, banned } = await fleet(t);
  await up(counting(1, 3, 500));
  const real = (await redis.hget(KEYS.clocks, AK))!;
  const high = { resets: 99, restarts: 0, milliseconds: 1, safe: true };
  // Also for a server that has just been started.
  const { fleet: other } = await open();
  let boot = 1;
  for (const text of [null, stored('99 0 1'), '99 0 1', real.replace(/^\d+/, '99'), 'x', `${real} ${real}`])
    for (const site of [undefined, directoryOf(other)]) {
      if (text === null) await redis.hdel(KEYS.clocks, AK);
      else await redis.hset(KEYS.clocks, AK, text);
      await rewriteNode(redis, NODE, ({ observed }) => ({ observed: { ...observed, clock: high } }));
      boot += 1;
      t.is(await comes(counting(boot, 3 + boot, 500), site), 'approved', String(text));
    }
  t.false(await banned());
});

test('replayed: the counters of another TPM, and those of one that was put out and is let in again', async (t) => {
  const { redis, fleet: own, open, up, comes, banned } = await fleet(t);
  await up(enrolment(2, 90));
  await up(counting(1, 30, 500));
  const before = (await redis.hget(KEYS.clocks, AK))!;
  const another = (await redis.hget(KEYS.clocks, enrolment(2).akName!))!;
  await redis.hset(KEYS.clocks, AK, another);
  const { fleet: first } = await open();
  t.is(await comes(counting(2, 31, 500), directoryOf(first)), 'approved');
  await own.retire(NODE, 'its TPM was cleared', { actor: 'operator:ann', at: Date.now() });
  const ann = { actor: 'operator:ann', at: Date.now() };
  await own.expect({ site: 'default', criteria: { serial: 'SN1' }, expiresAt: null }, ann);
  t.is(await comes(counting(3, 1, 1)), 'approved');
  await redis.hset(KEYS.clocks, AK, before);
  const { fleet: next } = await open();
  t.is(await comes(counting(4, 2, 1), directoryOf(next)), 'approved');
  t.false(await banned());
});

test('changed: the numbers of nonces; a proof that was held up is still old news', async (t) => {
  const { redis, directory, up, comes, banned } = await fleet(t);
  const nonce = () => directory.numberNonce();
  await up(counting(1, 3, 500, await nonce()));
  const [held, taken] = [await nonce(), await nonce()];
  for (const number of ['0', '-5', '4503599627370497']) {
    await redis.set(KEYS.nonces, number);
    t.true((await nonce()) > taken, number);
  }
  await redis.set(KEYS.nonces, '0');
  t.is(await comes(counting(2, 4, 700, taken)), 'approved');
  t.is(await comes(counting(3, 4, 600, held)), 'PROOF_LATE');
  t.false(await banned());
  t.regex(await comes(counting(4, 4, 650, await nonce())), /counts backwards/);
});

/** Machine `n` that shows this firmware, in a fleet where it is enforced. */
const shows = (n: number, boot: number, pcr0: string, change: Partial<Enrolment> = {}) =>
  enrolment(n, boot, { pcrs: { ...quoted('1.0', 'a7'.repeat(32)), '0': pcr0 }, ...change });

test('forged, deleted: the model that a member was let in as; it is held against what it was', async (t) => {
  const { redis, fleet: own, up, comes } = await fleet(t);
  await own.sites.set('default', { firmware: 'enforce' }, { actor: 'operator:ann', at: 1 });
  await up(shows(2, 1, GOOD));
  await up(shows(1, 1, GOOD));
  t.is((await own.firmware.list()).length, 1);
  const renamed = (boot: number) =>
    shows(1, boot, STRANGE, { inventory: inventory(1, { product: 'Other PC' }) });
  t.regex(await comes(renamed(2)), /not known of model QEMU Standard PC/);
  await redis.hset(KEYS.firmwareModel, NODE, 'QEMU Other PC');
  await rewriteNode(redis, NODE, ({ inventory }) => ({ inventory: { ...inventory, product: 'Other PC' } }));
  t.regex(await comes(renamed(3)), /not known of model QEMU Standard PC/);
  await redis.del(KEYS.firmwareModel);
  t.regex(await comes(renamed(4)), /not known of model QEMU Standard PC/);
  t.is((await own.firmware.models()).get(NODE), MODEL);
  t.is((await own.firmware.list()).length, 1, 'it teaches no other');
});

test('forged: a member never booted by UEFI, or never had Secure Boot on', async (t) => {
  const { redis, up, comes } = await fleet(t);
  await up(enrolment(1));
  t.is(await comes(enrolment(1, 2)), 'approved', 'which is written down when it comes as a member');
  const off = { inventory: inventory(1, { secureBoot: 'off' }), firmware: null };
  await rewriteNode(redis, NODE, ({ observed }) => ({ observed: { ...observed, secureBoot: 'off' } }));
  t.regex(await comes(enrolment(1, 3, off)), /Secure Boot was on/);
  const { firmware } = inventory(1);
  const bios = { inventory: inventory(1, { firmware: { ...firmware, kind: 'bios' } }), firmware: null };
  await rewriteNode(redis, NODE, () => ({ inventory: bios.inventory }));
  t.regex(await comes(enrolment(1, 4, bios)), /booted by UEFI before/);
});

test('forged, deleted: what PCR 7 machines of a model have shown; a machine without a log is held against what was seen', async (t) => {
  const { redis, open, up, comes } = await fleet(t);
  const [ours, theirs] = ['a7'.repeat(32), 'b7'.repeat(32)];
  await up(shows(2, 1, GOOD));
  const bare = (boot: number) => enrolment(1, boot, { pcrs: quoted('1.0', theirs), firmware: null });
  t.regex(await comes(bare(2)), /PCR 7 is b7b7/);
  await redis.hset(KEYS.pcr7, MODEL, `${ours}@${NODE} ${theirs}@${NODE}`);
  t.regex(await comes(bare(3)), /PCR 7 is b7b7/);
  const { fleet: other } = await open();
  await redis.hset(KEYS.pcr7, 'QEMU X', (await redis.hget(KEYS.pcr7, MODEL))!);
  t.deepEqual(await other.pcr7.get('QEMU X'), [], 'nor is another model, by another server');
  await redis.del(KEYS.pcr7);
  t.regex(await comes(bare(4)), /PCR 7 is b7b7/);
});
