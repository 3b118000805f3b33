/** Real LUKS2 containers in files; what needs the kernel's device mapper is proven by end-to-end boots. */
import { mkdtemp, readFile, readlink, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { BootwaveError } from '../../../../../base/error.ts';
import { mustRun, run } from '../../../../../base/run.ts';
import { type DiskTools, MAPPED, sealsOf } from '../../../../../image/agent/root/disk/luks.ts';
import type { Sealed, SealFor } from '../../../../../image/agent/root/disk/seal.ts';
import { foretell, renewSeal, type Sealing } from '../../../../../image/agent/root/disk/seals.ts';
import { mountState, type StateParts } from '../../../../../image/agent/root/disk/state.ts';

/** A TPM by its rules: PCR 7, the counter, and the floors that the image that runs is signed for. */
class FakeSeal implements Sealing {
  #kept = new Map<string, { secret: Buffer; pcr7: string; count: number }>();
  refuse = false;
  pcr7 = 'now';
  count = 1;
  floors: string[] = [];
  async floor(wanted: string | null) {
    return wanted !== null && this.floors.includes(wanted) ? wanted : null;
  }
  async close(secret: Uint8Array, { floor, pcr7, holds }: SealFor): Promise<Sealed> {
    const name = Buffer.from(`${this.#kept.size}`).toString('base64');
    const count = holds === 'now' ? this.count : this.count + 1;
    this.#kept.set(name, { secret: Buffer.from(secret), pcr7: pcr7?.toString() ?? this.pcr7, count });
    const counted = { count: count.toString(16).padStart(16, '0') };
    return { public: name, private: 'AAAA', floor: await this.floor(floor), ...counted };
  }
  async turn() {
    this.count += 1;
  }
  async open(sealed: Sealed) {
    const held = this.#kept.get(sealed.public);
    const isBelow = sealed.floor != null && !this.floors.includes(sealed.floor);
    if (this.refuse || held === undefined || held.pcr7 !== this.pcr7 || held.count !== this.count || isBelow)
      throw new BootwaveError({ code: 'COMMAND_FAILED', what: 'policy check failed' });
    return held.secret;
  }
}

async function setUp(t: ExecutionContext) {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-state-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const device = join(folder, 'partition');
  await writeFile(device, '');
  await truncate(device, 64 * 1024 * 1024);
  await mustRun('mkfs.ext4', ['-q', '-F', device]);
  let said: string[] = [];
  const runs =
    (real: typeof run): DiskTools['run'] =>
    async (program, args, options) => {
      if (program === 'e2fsck' || program === 'mkfs.ext4') said.push(`${program} ${args.at(-1)}`);
      // The key is tried for real; only the mapping is not made.
      if (program === 'cryptsetup' && args.includes('open'))
        return real(program, [...args.slice(0, -1), '--test-passphrase'], options);
      if (program === 'cryptsetup') return real(program, args, options);
      const code = args[0] === 'is-active' ? 3 : 0;
      return { code, stdout: '', stderr: '' };
    };
  const parts = (seal: StateParts['seal'], floor: string | null, trial: boolean): StateParts => ({
    seal,
    floor,
    trial,
    link: join(folder, 'link'),
    mount: join(folder, 'mount'),
    tools: { run: runs(run), mustRun: runs(mustRun) },
  });
  return {
    mount: async (seal: StateParts['seal'], floor: string | null = null, trial = false) => {
      said = [];
      const state = await mountState(device, parts(seal, floor, trial));
      return { ...state, target: await readlink(join(folder, 'link')), said };
    },
    uuid: async () => (await run('cryptsetup', ['luksUUID', device])).stdout.trim(),
    bytes: () => readFile(device),
    seals: () => sealsOf(device, { run }),
    device,
    tools: { run, mustRun },
  };
}

test('a plain partition is sealed at the next start, opened from then on, and made again when the TPM refuses', async (t) => {
  const { mount, uuid } = await setUp(t);
  const seal = new FakeSeal();
  const first = await mount(seal);
  t.true(first.sealed);
  t.is(first.target, MAPPED);
  t.true(first.said.includes(`mkfs.ext4 ${MAPPED}`));
  const made = await uuid();
  t.not(made, '');

  const second = await mount(seal);
  t.deepEqual(
    { sealed: second.sealed, why: second.why, said: second.said },
    { sealed: true, why: '', said: [`e2fsck ${MAPPED}`] },
  );
  t.is(await uuid(), made);

  const third = await mount(new FakeSeal());
  t.true(third.sealed);
  t.regex(third.why, /made again: .*policy check failed/);
  t.not(await uuid(), made);
});

test('once the state was made again no copy of the one before it opens', async (t) => {
  const { mount, seals } = await setUp(t);
  const seal = new FakeSeal();
  await mount(seal);
  const before = (await seals())[0]!.sealed;
  seal.pcr7 = 'other';
  t.regex((await mount(seal)).why, /made again/);
  seal.pcr7 = 'now';
  await t.throwsAsync(seal.open(before), { message: /policy check failed/ });
});

test('what is in the header of a container opens nothing by itself', async (t) => {
  const { mount, bytes } = await setUp(t);
  const seal = new FakeSeal();
  let secret = Buffer.alloc(0);
  const close = seal.close.bind(seal);
  seal.close = (given, how) => {
    secret = Buffer.from(given);
    return close(given, how);
  };
  await mount(seal);
  t.is(secret.length, 32);
  t.false((await bytes()).includes(secret));
});

test('without a TPM, or with one that cannot open what it seals, the state is plain and says why', async (t) => {
  const { mount, uuid, device } = await setUp(t);
  const plain = await mount(null);
  t.deepEqual([plain.sealed, plain.target, plain.why], [false, device, 'this machine has no TPM 2.0']);
  t.is(await uuid(), '');
  const seal = new FakeSeal();
  seal.refuse = true;
  const broken = await mount(seal);
  t.deepEqual([broken.sealed, broken.target], [false, device]);
  t.regex(broken.why, /the TPM seals nothing: .*policy check failed/);
});

test('a change of Secure Boot that was foretold opens the state, which is sealed anew once and has one seal again', async (t) => {
  const { mount, uuid, seals, device, tools } = await setUp(t);
  const seal = new FakeSeal();
  await mount(seal);
  const made = await uuid();
  const before = (await seals())[0]!.sealed;
  // Asked twice, as after a kill, with another outcome: only the newest counts.
  await foretell(device, seal, Buffer.from('other'), tools);
  await foretell(device, seal, Buffer.from('then'), tools);
  t.is((await seals()).length, 2);

  seal.pcr7 = 'then';
  t.is((await mount(seal)).why, '');
  t.is(await uuid(), made);
  t.is((await seals()).length, 1);
  t.is(seal.count, 3, 'what was sealed before is void');
  t.is((await mount(seal)).why, '');
  t.is(seal.count, 3, 'and nothing is sealed anew without a reason');

  seal.pcr7 = 'now';
  await t.throwsAsync(seal.open(before), { message: /policy check failed/ });
});

test('a change that was foretold and did not come leaves the seal that was', async (t) => {
  const { mount, uuid, seals, device, tools } = await setUp(t);
  const seal = new FakeSeal();
  await mount(seal);
  const made = await uuid();
  await foretell(device, seal, Buffer.from('then'), tools);
  t.is((await mount(seal)).why, '');
  t.is(await uuid(), made);
  t.is((await seals()).length, 1);
});

test('an image on trial leaves the seal of the one before it, which another key may have signed', async (t) => {
  const { mount, uuid, seals, device, tools } = await setUp(t);
  const seal = new FakeSeal();
  await mount(seal);
  const made = await uuid();
  await foretell(device, seal, Buffer.from('then'), tools);
  seal.pcr7 = 'then';
  t.is((await mount(seal, null, true)).why, '');
  t.is((await seals()).length, 2);
  // It failed: the one before it starts again, by its own key.
  seal.pcr7 = 'now';
  t.is((await mount(seal)).why, '');
  t.is(await uuid(), made);
  t.is((await seals()).length, 1);
});

test('a floor is sealed for when the image is good and was signed for it, and never lowered', async (t) => {
  const { mount, uuid, seals, device, tools } = await setUp(t);
  const seal = new FakeSeal();
  const floorNow = async () => (await seals())[0]!.sealed.floor;
  await mount(seal);
  const made = await uuid();
  t.is(await renewSeal(device, seal, '2', tools), null);
  seal.floors = ['1', '2'];
  t.is(await renewSeal(device, seal, '2', tools), 'the release floor is 2');
  t.is(await floorNow(), '2');
  t.is((await mount(seal, '1')).why, '');
  t.is(await floorNow(), '2');
  seal.floors = ['1', '2', '3'];
  t.is((await mount(seal, '3')).why, '');
  t.deepEqual([await floorNow(), await uuid(), (await seals()).length], ['3', made, 1]);
  seal.floors = ['1', '2'];
  t.regex((await mount(seal)).why, /made again/, 'an older release has it made again');
});

test('whoever keeps what was sealed anew from opening does not get the floor lowered', async (t) => {
  const { mount, seals, device, tools } = await setUp(t);
  const seal = new FakeSeal();
  seal.floors = ['1', '2'];
  await mount(seal, '1');
  const open = seal.open.bind(seal);
  const busy = Object.assign(Object.create(seal), {
    open: async (sealed: Sealed) => {
      if (sealed.floor === '2') throw new BootwaveError({ code: 'COMMAND_FAILED', what: 'the TPM is busy' });
      return open(sealed);
    },
    close: seal.close.bind(seal),
    turn: seal.turn.bind(seal),
    floor: seal.floor.bind(seal),
  });
  await renewSeal(device, busy, '2', tools);
  t.deepEqual((await seals()).map(({ sealed }) => sealed.floor).sort(), ['1', '2']);
});

test('a good image leaves the seal for a change to come alone', async (t) => {
  const { mount, uuid, device, tools } = await setUp(t);
  const seal = new FakeSeal();
  await mount(seal);
  const made = await uuid();
  await foretell(device, seal, Buffer.from('then'), tools);
  seal.floors = ['2'];
  t.is(await renewSeal(device, seal, '2', tools), null);
  seal.pcr7 = 'then';
  t.is((await mount(seal, '2')).why, '');
  t.is(await uuid(), made);
});

test('a header that somebody else has written is not followed: the state is made again', async (t) => {
  const cryptsetup = (device: string, ...args: string[]) =>
    mustRun('cryptsetup', ['--disable-locks', ...args, device], { input: '{"type":"mine","keyslots":[]}' });
  const full = async (device: string) => {
    for (let id = 8; id < 32; id += 1)
      await cryptsetup(device, 'token', 'import', '--json-file', '-', '--token-id', String(id));
  };
  const { mount, uuid, device } = await setUp(t);
  const seal = new FakeSeal();
  await mount(seal);
  const made = await uuid();
  await full(device);
  t.regex((await mount(seal)).why, /header of its container is not ours: it holds 25 tokens/);
  t.not(await uuid(), made);
  t.is((await mount(seal)).why, '');
});

test('a kill at any step of sealing anew leaves a state that opens', async (t) => {
  for (let step = 0; step < 6; step += 1) {
    const { mount, uuid, seals, device, tools } = await setUp(t);
    const seal = new FakeSeal();
    await mount(seal);
    const made = await uuid();
    seal.floors = ['2'];
    let left = step;
    const dies =
      <A extends unknown[], R>(work: (...args: A) => Promise<R>) =>
      async (...args: A): Promise<R> => {
        left -= 1;
        if (left < 0) throw new Error('killed');
        return work(...args);
      };
    const dying = {
      open: dies(seal.open.bind(seal)),
      close: dies(seal.close.bind(seal)),
      turn: dies(seal.turn.bind(seal)),
      floor: seal.floor.bind(seal),
    };
    const killed = { run, mustRun: dies(mustRun) };
    await renewSeal(device, dying, '2', { ...tools, ...killed }).catch(() => {});
    t.is((await mount(seal)).why, '', `after ${step} steps`);
    t.is(await uuid(), made);
    t.is((await seals()).length, 1);
  }
});

test('a TPM that has no room for the counter seals the state all the same', async (t) => {
  const { mount, seals } = await setUp(t);
  const seal = new FakeSeal();
  const close = seal.close.bind(seal);
  const noRoom = () => Promise.reject(new BootwaveError({ code: 'COMMAND_FAILED', what: 'no room' }));
  seal.turn = noRoom;
  seal.close = async (secret, how) => {
    if (how.holds === 'next') return noRoom();
    const { count: _, ...sealed } = await close(secret, how);
    return sealed;
  };
  const first = await mount(seal);
  t.true(first.sealed, first.why);
  t.is((await seals())[0]!.sealed.count, undefined);
  t.deepEqual((({ sealed, why }) => ({ sealed, why }))(await mount(seal)), { sealed: true, why: '' });
});
