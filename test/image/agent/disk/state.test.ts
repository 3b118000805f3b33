/** Real LUKS2 containers in files; what needs the kernel's device mapper is proven by end-to-end boots. */
import { mkdtemp, readFile, readlink, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { BootwaveError } from '../../../../base/error.ts';
import { mustRun, run } from '../../../../base/run.ts';
import { type DiskTools, MAPPED } from '../../../../image/agent/disk/luks.ts';
import { mountState, type StateParts } from '../../../../image/agent/disk/state.ts';

/** A TPM in the same state for ever; `refuse` is another one. */
class FakeSeal {
  #kept = new Map<string, Buffer>();
  refuse = false;
  async close(secret: Uint8Array) {
    const name = Buffer.from(`${this.#kept.size}`).toString('base64');
    this.#kept.set(name, Buffer.from(secret));
    return { public: name, private: 'AAAA' };
  }
  async open(sealed: { public: string }) {
    const secret = this.#kept.get(sealed.public);
    if (this.refuse || secret === undefined)
      throw new BootwaveError({ code: 'COMMAND_FAILED', what: 'policy check failed' });
    return secret;
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
  const parts = (seal: StateParts['seal']): StateParts => ({
    seal,
    link: join(folder, 'link'),
    mount: join(folder, 'mount'),
    tools: { run: runs(run), mustRun: runs(mustRun) },
  });
  return {
    mount: async (seal: StateParts['seal']) => {
      said = [];
      const state = await mountState(device, parts(seal));
      return { ...state, target: await readlink(join(folder, 'link')), said };
    },
    uuid: async () => (await run('cryptsetup', ['luksUUID', device])).stdout.trim(),
    bytes: () => readFile(device),
    device,
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

test('what is in the header of a container opens nothing by itself', async (t) => {
  const { mount, bytes } = await setUp(t);
  const seal = new FakeSeal();
  let secret = Buffer.alloc(0);
  const close = seal.close.bind(seal);
  seal.close = (given) => {
    secret = Buffer.from(given);
    return close(given);
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
