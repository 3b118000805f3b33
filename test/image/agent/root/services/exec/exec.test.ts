/** Commands of an owner in their instance, under crun on this machine; the limits of their unit need a node's systemd. */
import { generateKeyPairSync } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { EXEC_LIMITS } from '../../../../../../protocol/link/exec.ts';
import { commands, SHOP } from './commands.ts';

const SH = (text: string) => ['/bin/busybox', 'sh', '-c', text];

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(20);
}

test.serial('it runs inside, as what the instance is, and says what it wrote and how it ended', async (t) => {
  t.timeout(120_000);
  const { grant, begin, places, shop } = await commands(t);
  const one = await begin(
    await grant(SH('echo $MINE; id -u; hostname; echo oops >&2; /bin/busybox cat /proc/self/status; exit 7')),
  );
  const { out, err, end } = await one.rest();
  t.regex(out, /^yes\n0\nfleet\.shop\.probe\n/);
  t.regex(out, /^CapBnd:\t0+$/m);
  t.regex(out, /^NoNewPrivs:\t1$/m);
  t.regex(out, /^Seccomp:\t2$/m);
  t.is(err, 'oops\n');
  t.deepEqual(end, { exit: 7, why: '' });
  t.is(shop.id, 'fleet.shop.probe');
  t.deepEqual(await readdir(places.execs), [], 'nothing of it is left');
  t.deepEqual(
    (await readdir(places.units)).filter((name) => name.includes('exec')),
    [],
  );
  const none = await begin(await grant(['/bin/nothing']));
  const said = await none.rest();
  t.true(said.end !== null && 'exit' in said.end && said.end.exit > 0);
  t.regex(said.err, /nothing/);
});

test.serial('what it is given comes back whole, whoever is slow', async (t) => {
  t.timeout(120_000);
  const { grant, begin } = await commands(t);
  const one = await begin(await grant(['/bin/busybox', 'cat']));
  const piece = Buffer.alloc(40_000, 'abcdefghij');
  const writes = (async () => {
    for (let i = 0; i < 100; i += 1) await one.write(piece);
    await one.write(Buffer.alloc(0));
  })();
  const { out, end } = await one.rest();
  await writes;
  t.is(out.length, 4_000_000);
  t.is(out, piece.toString().repeat(100));
  t.deepEqual(end, { exit: 0, why: '' });
});

test.serial('root takes a grant once, for this node, of the signer, in its time, where it may', async (t) => {
  t.timeout(120_000);
  const { grant, begin, world, units } = await commands(t);
  const code = async (envelope: unknown) => {
    const { end } = await (await begin(envelope)).rest();
    return end !== null && 'error' in end ? end.error.code : end;
  };
  const HELLO = ['/bin/busybox', 'true'];
  const good = await grant(HELLO);
  t.deepEqual(await code(good), { exit: 0, why: '' });
  t.is(await code(good), 'GRANT_USED');
  t.is(await code(await grant(HELLO, { node: `tpm-${'b'.repeat(64)}` })), 'GRANT_WRONG_NODE');
  t.is(await code(await grant(HELLO, {}, generateKeyPairSync('ed25519').privateKey)), 'GRANT_SIGNATURE');
  t.is(await code({ ...good, payload: (await grant(HELLO)).payload }), 'GRANT_SIGNATURE');
  for (const off of [-181_000, 121_000])
    t.is(
      await code(await grant(HELLO, { issuedAt: world.now + off, expires: world.now + off + 60_000 })),
      'GRANT_TIME',
    );
  t.is(await code(await grant(HELLO, { expires: world.now + 61_000 })), 'GRANT_LIFE');
  t.is(await code(await grant(HELLO, { instance: 'fleet/shop@other' })), 'EXEC_NOT_ORDERED');
  world.services = [SHOP, 'fleet/shop@other'];
  t.is(await code(await grant(HELLO, { instance: 'fleet/shop@other' })), 'EXEC_NOT_HERE');
  const frozen = await grant(HELLO);
  world.restraints = [{ name: SHOP, how: 'freeze' }];
  t.is(await code(frozen), 'EXEC_FROZEN');
  world.restraints = [];
  t.deepEqual(await code(frozen), { exit: 0, why: '' }, 'what was refused was not used');
  for (const bad of [null, 'x', {}, { payload: 'e30=', keyId: 'f'.repeat(64), signature: '' }])
    t.regex(`${await code(bad)}`, /^GRANT_(MALFORMED|KEY_UNKNOWN)$/);
  t.is(units.running.size, 0);
});

test.serial(
  'what was used before the node started is not used again: not one of its clock nor of one that is ahead',
  async (t) => {
    t.timeout(120_000);
    const { grant, begin, world, node } = await commands(t);
    const code = async (envelope: unknown) => {
      const { end } = await (await begin(envelope)).rest();
      return end !== null && 'error' in end ? end.error.code : end;
    };
    const HELLO = ['/bin/busybox', 'true'];
    const ahead = world.now + 120_000;
    const used = [await grant(HELLO), await grant(HELLO, { issuedAt: ahead, expires: ahead + 60_000 })];
    for (const one of used) t.deepEqual(await code(one), { exit: 0, why: '' });
    await rm(join(node.folder, 'used'), { recursive: true });
    world.bootedAt = world.now;
    world.now += 60_000;
    for (const one of used) t.is(await code(one), 'GRANT_BOOT');
    world.now += 60_001;
    for (const one of used) t.is(await code(one), 'GRANT_BOOT');
    t.deepEqual(await code(await grant(HELLO)), { exit: 0, why: '' });
  },
);

test.serial(
  'it ends when the order freezes the instance, when nobody waits or asks, and when the instance ends',
  async (t) => {
    t.timeout(120_000);
    const { grant, begin, world, units, node, shop } = await commands(t);
    const long = SH('echo on; sleep 1000');

    const one = await begin(await grant(long));
    while (one.got.out === '') await one.read();
    world.restraints = [{ name: SHOP, how: 'freeze' }];
    const { end } = await one.rest();
    t.like(end, { exit: 137 });
    t.regex(JSON.stringify(end), /EXEC_FROZEN/);
    world.restraints = [];

    const gone = new AbortController();
    const two = await begin(await grant(long), { signal: gone.signal, progress: () => {} });
    while (two.got.out === '') await two.read();
    t.is(units.running.size, 1);
    gone.abort();
    await t.throwsAsync(two.read());
    await until(() => units.running.size === 0);
    await t.throwsAsync(two.write(Buffer.from('x')), { code: 'EXEC_OVER' });

    const three = await begin(await grant(long));
    while (three.got.out === '') await three.read();
    await until(() => units.running.size === 0);
    await t.throwsAsync(three.read(), { code: 'EXEC_OVER' });

    const four = await begin(await grant(long));
    while (four.got.out === '') await four.read();
    await node.must('crun', '--cgroup-manager=disabled', 'kill', shop.id, 'KILL');
    t.like((await four.rest()).end, { exit: 137 });
  },
);

test.serial('so many at once, and of one slice fewer', async (t) => {
  t.timeout(120_000);
  const { grant, begin, execs } = await commands(t);
  const never = { signal: new AbortController().signal, progress: () => {} };
  const begun = [];
  for (let i = 0; i < EXEC_LIMITS.slice; i += 1)
    begun.push(await begin(await grant(['/bin/busybox', 'true'])));
  await t.throwsAsync(begin(await grant(['/bin/busybox', 'true'])), { code: 'EXEC_BUSY' });
  await execs.handlers.exec({ grant: {}, slice: 'other' }, never);
  for (const one of begun) t.deepEqual((await one.rest()).end, { exit: 0, why: '' });
  t.deepEqual((await (await begin(await grant(['/bin/busybox', 'true']))).rest()).end, { exit: 0, why: '' });
});
