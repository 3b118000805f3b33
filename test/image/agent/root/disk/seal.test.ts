/** A real software TPM, restarted as a machine is: its PCRs say which image runs under which Secure Boot keys. */
import { createHash, generateKeyPairSync } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { mustRun, run } from '../../../../../base/run.ts';
import { signPcr11 } from '../../../../../formats/tpm/pcr-signature.ts';
import { authorizedPolicy, pcrPolicy } from '../../../../../formats/tpm/policy.ts';
import { POLICY_FILES, SEALED_PCRS, Seal, type Sealed } from '../../../../../image/agent/root/disk/seal.ts';
import { COUNTER_ATTRIBUTES, SEAL_INDEX } from '../../../../../image/agent/root/disk/seal-counter.ts';
import { TpmTools } from '../../../../../image/agent/root/tpm-tools.ts';
import { SoftwareTpm } from '../../../../bootserver/enroll/support/swtpm.ts';

const sha256 = (...data: (string | Buffer)[]) =>
  data.reduce((hash, piece) => hash.update(piece), createHash('sha256')).digest();
const rsa = () => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return {
    secret: Buffer.from(privateKey.export({ type: 'pkcs8', format: 'pem' })),
    pub: String(publicKey.export({ type: 'spki', format: 'pem' })),
  };
};
/** Of PCR 11 after the stub has measured this image and nothing else. */
const pcr11Of = (image: string) => sha256(Buffer.alloc(32), sha256(image)).toString('hex');

const OURS = 'on, keys of the fleet';
const NOW = { floor: null, holds: 'now' } as const;
const fleetKey = rsa();
const secret = Buffer.from('thirty-two bytes of a secret key');
let folder: string;
let tpm: SoftwareTpm;
let sealed: Sealed;

type Boot = {
  image: string;
  /** What the image brings along; its own signature by the fleet's key otherwise. */
  signature?: Buffer;
  key?: string;
  secureBoot?: string;
  commandLine?: string;
  /** What its signature is for. */
  floors?: string[];
};

/** Restarts the machine with another system. */
async function boot({ image, secureBoot = OURS, commandLine, floors = [], ...files }: Boot) {
  await tpm.stop();
  tpm = await new SoftwareTpm(join(folder, 'tpm')).start();
  const env = tpm.environment;
  const extend = (pcr: number, what: string) =>
    mustRun('tpm2_pcrextend', [`${pcr}:sha256=${sha256(what).toString('hex')}`], { env });
  await extend(7, secureBoot);
  await extend(11, image);
  if (commandLine !== undefined) await extend(12, commandLine);
  const signature = files.signature ?? signPcr11(pcr11Of(image), fleetKey.secret, floors);
  await writeFile(join(folder, POLICY_FILES.signature), signature);
  await writeFile(join(folder, POLICY_FILES.key), files.key ?? fleetKey.pub);
  return new Seal(new TpmTools(join(folder, 'run'), env), folder);
}

test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bootwave-seal-'));
  await mkdir(join(folder, 'run'));
  tpm = await new SoftwareTpm(join(folder, 'tpm')).start();
  const seal = await boot({ image: 'release 1' });
  sealed = await seal.close(secret, NOW);
});
test.after.always(async () => {
  await tpm?.stop();
  await rm(folder, { recursive: true, force: true });
});

test.serial('the release that sealed it opens it, and so does a later one', async (t) => {
  t.deepEqual(await (await boot({ image: 'release 1' })).open(sealed), secret);
  t.deepEqual(await (await boot({ image: 'release 2' })).open(sealed), secret);
});

test.serial('an image that the fleet did not sign does not, whatever it brings along', async (t) => {
  const stranger = rsa();
  const other = { signature: signPcr11(pcr11Of('x'), stranger.secret), key: stranger.pub };
  const refused: [string, Omit<Boot, 'image'>, RegExp][] = [
    ['none', { signature: Buffer.from('') }, /brings no signature/],
    [
      "a release's",
      { signature: signPcr11(pcr11Of('release 1'), fleetKey.secret) },
      /^tpm2_policyauthorize /,
    ],
    ['one by a key of its own', other, /^tpm2_unseal /],
    ["one under the fleet's name", { signature: forged('x', stranger.secret) }, /^tpm2_verifysignature /],
  ];
  for (const [what, brought, message] of refused) {
    const seal = await boot({ image: 'x', ...brought });
    await t.throwsAsync(seal.open(sealed), { message }, what);
  }
});

test.serial(
  'a release under other Secure Boot keys, or with a command line from outside, does not',
  async (t) => {
    for (const one of [{ secureBoot: 'off' }, { commandLine: 'init=/bin/sh' }]) {
      const seal = await boot({ image: 'release 1', ...one });
      await t.throwsAsync(seal.open(sealed), { message: /^tpm2_unseal / });
    }
  },
);

test.serial('a TPM that was cleared does not, as another one would not; it seals anew', async (t) => {
  const seal = await boot({ image: 'release 1' });
  await mustRun('tpm2_clear', ['-c', 'p'], { env: tpm.environment });
  await t.throwsAsync(seal.open(sealed), { message: /^tpm2_load / });
  const anew = await seal.close(secret, NOW);
  t.deepEqual(await seal.open(anew), secret);
});

test.serial(
  'what is sealed for a floor is opened from that release on, and by none that was signed before it',
  async (t) => {
    const seal = await boot({ image: 'release 2', floors: ['1', '2'] });
    const above = await seal.close(secret, { floor: '2', holds: 'now' });
    t.is(above.floor, '2');
    t.deepEqual(await seal.open(above), secret);
    t.deepEqual(await (await boot({ image: 'release 3', floors: ['1', '2', '3'] })).open(above), secret);

    const old = await boot({ image: 'release 1', floors: ['1'] });
    await t.throwsAsync(old.open(above), { code: 'SEAL_BELOW_FLOOR' });
    // Whatever the header says: the floor is in the policy, not in what is written beside it.
    await t.throwsAsync(old.open({ ...above, floor: '1' }), { message: /^tpm2_unseal / });
    await t.throwsAsync(old.open({ ...above, floor: null }), { message: /^tpm2_unseal / });
    // Nor does a signature for another floor stand for this one.
    const signed = JSON.parse(signPcr11(pcr11Of('release 1'), fleetKey.secret, ['1']).toString());
    signed.floors[0].floor = '2';
    const forger = await boot({ image: 'release 1', signature: Buffer.from(JSON.stringify(signed)) });
    await t.throwsAsync(forger.open(above), { message: /^tpm2_verifysignature / });
  },
);

test.serial('an image seals for the highest floor that it was signed for', async (t) => {
  const seal = await boot({ image: 'release 2', floors: ['1', '1.5', '2'] });
  const floorOf = async (floor: string) => (await seal.close(secret, { floor, holds: 'now' })).floor;
  t.is(await floorOf('1.6'), '1.5');
  t.is(await floorOf('0.9'), null);
  t.is(await floorOf('2'), '2');
});

test.serial(
  'a seal for the PCR 7 to come opens when it has come, and until then the old one does',
  async (t) => {
    const before = await boot({ image: 'release 1' });
    const now = await before.close(secret, NOW);
    const extended = (what: string) => sha256(Buffer.alloc(32), sha256(what));
    const pcr7 = extended('on, and one image revoked');
    const foretold = await before.close(secret, { ...NOW, pcr7 });
    t.deepEqual(await before.open(now), secret);
    await t.throwsAsync(before.open(foretold), { message: /^tpm2_unseal / });
    const after = await boot({ image: 'release 2', secureBoot: 'on, and one image revoked' });
    t.deepEqual(await after.open(foretold), secret);
    await t.throwsAsync(after.open(now), { message: /^tpm2_unseal / });
  },
);

test.serial(
  'once it was sealed anew no copy of an older seal opens, even when the counter is made again',
  async (t) => {
    const seal = await boot({ image: 'release 1' });
    const old = await seal.close(secret, NOW);
    const next = await seal.close(secret, { ...NOW, holds: 'next' });
    await t.throwsAsync(seal.open(next), { message: /^tpm2_policynv / });
    await seal.turn();
    t.deepEqual(await seal.open(next), secret);
    await t.throwsAsync(seal.open(old), { message: /^tpm2_policynv / });
    await t.throwsAsync(seal.open({ public: old.public, private: old.private }), {
      message: /^tpm2_unseal /,
    });

    const { env } = { env: tpm.environment };
    await mustRun('tpm2_nvundefine', ['-C', 'o', SEAL_INDEX], { env });
    await mustRun('tpm2_nvdefine', [SEAL_INDEX, '-C', 'o', '-a', COUNTER_ATTRIBUTES], { env });
    for (let i = 0; i < 3; i += 1) {
      await mustRun('tpm2_nvincrement', ['-C', 'o', SEAL_INDEX], { env });
      await t.throwsAsync(seal.open(old), { message: /^tpm2_policynv / });
    }
  },
);

test.serial(
  'a TPM without room for a counter seals still, and never says that older seals are void',
  async (t) => {
    const seal = await boot({ image: 'release 1' });
    const env = tpm.environment;
    await mustRun('tpm2_nvundefine', ['-C', 'o', SEAL_INDEX], { env });
    const fillers: string[] = [];
    // Room for a few counters is kept from everything else, so counters fill that.
    const kinds = [
      ...['2048', '512', '64', '8'].map((size) => ({ size, more: '' })),
      { size: '8', more: '|nt=counter' },
    ];
    for (const { size, more } of kinds) {
      for (let i = 0; i < 64; i += 1) {
        const index = `0x${(0x180c000 + fillers.length).toString(16)}`;
        const args = ['-C', 'o', '-s', size, '-a', `ownerwrite|ownerread${more}`];
        if ((await run('tpm2_nvdefine', [index, ...args], { env })).code !== 0) break;
        fillers.push(index);
      }
    }
    const sealed = await seal.close(secret, NOW);
    t.is(sealed.count, undefined);
    t.deepEqual(await seal.open(sealed), secret);
    await t.throwsAsync(seal.close(secret, { ...NOW, holds: 'next' }), { message: /tpm2_nvdefine/ });
    for (const index of fillers) await mustRun('tpm2_nvundefine', ['-C', 'o', index], { env });
    t.truthy((await seal.close(secret, NOW)).count, 'and with one again once there is');
  },
);

test.serial(
  'an index that somebody else left in its place is made again: one that goes back would bring old seals back',
  async (t) => {
    const seal = await boot({ image: 'release 1' });
    const env = tpm.environment;
    const left = (attributes: string, ...more: string[]) =>
      mustRun('tpm2_nvdefine', [SEAL_INDEX, '-C', 'o', '-a', attributes, ...more], { env });
    const others: [string, ...string[]][] = [
      ['ownerwrite|ownerread|authread|no_da', '-s', '8'],
      ['ownerwrite|ownerread|authread|no_da', '-s', '4'],
      ['nt=counter|authwrite|ownerwrite|ownerread|authread'],
      ['nt=bits|ownerwrite|ownerread'],
    ];
    for (const other of others)
      for (const isWritten of [true, false]) {
        await mustRun('tpm2_nvundefine', ['-C', 'o', SEAL_INDEX], { env });
        await left(...other);
        if (isWritten && other.includes('8'))
          await mustRun('tpm2_nvwrite', ['-C', 'o', SEAL_INDEX, '-i', '-'], {
            env,
            input: Buffer.alloc(8, 1),
          });
        const old = await seal.close(secret, NOW);
        t.deepEqual(await seal.open(old), secret, other[0]);
        await seal.turn();
        await t.throwsAsync(seal.open(old), { message: /^tpm2_policynv / });
      }
  },
);
test.serial('what was sealed before there was a counter is opened still', async (t) => {
  const seal = await boot({ image: 'release 1' });
  // As the release before made it: the same policy without its last part.
  const scratch = join(folder, 'older');
  await mkdir(scratch);
  const file = (name: string) => join(scratch, name);
  const env = tpm.environment;
  const tool = (name: string, ...args: string[]) => mustRun(name, args, { env, input: secret });
  await tool('tpm2_pcrread', 'sha256:7,12,13', '-o', file('pcrs'));
  const pem = join(folder, POLICY_FILES.key);
  await tool(
    'tpm2_loadexternal',
    ...[
      '-C',
      'o',
      '-G',
      'rsa',
      '-g',
      'sha256',
      '-a',
      'userwithauth|sign|decrypt',
      '-u',
      pem,
      '-c',
      file('key'),
      '-n',
      file('name'),
    ],
  );
  const pcrs = await readFile(file('pcrs'));
  const values = new Map(SEALED_PCRS.map((pcr, i) => [pcr, pcrs.subarray(32 * i, 32 * i + 32)]));
  await writeFile(file('policy'), pcrPolicy(authorizedPolicy(await readFile(file('name'))), values));
  await tool('tpm2_flushcontext', '-t');
  await tool(
    'tpm2_createprimary',
    ...[
      '-C',
      'o',
      '-g',
      'sha256',
      '-G',
      'ecc',
      '-c',
      file('parent'),
      '-a',
      'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|decrypt|noda',
    ],
  );
  await tool(
    'tpm2_create',
    ...[
      '-C',
      file('parent'),
      '-g',
      'sha256',
      '-i',
      '-',
      '-L',
      file('policy'),
      '-a',
      'fixedtpm|fixedparent|adminwithpolicy|noda',
      '-u',
      file('public'),
      '-r',
      file('private'),
    ],
  );
  await tool('tpm2_flushcontext', '-t');
  const base64 = async (name: string) => (await readFile(file(name))).toString('base64');
  t.deepEqual(await seal.open({ public: await base64('public'), private: await base64('private') }), secret);
});

/** Signed by a stranger, and said to be the fleet's. */
function forged(image: string, key: Buffer): Buffer {
  const by = (signer: Buffer) => JSON.parse(signPcr11(pcr11Of(image), signer).toString()).sha256[0];
  return Buffer.from(JSON.stringify({ sha256: [{ ...by(key), pkfp: by(fleetKey.secret).pkfp }] }));
}
