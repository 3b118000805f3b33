/** A real software TPM, restarted as a machine is: its PCRs say which image runs under which Secure Boot keys. */
import { createHash, generateKeyPairSync } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { mustRun } from '../../../../base/run.ts';
import { POLICY_FILES, Seal, type Sealed } from '../../../../image/agent/disk/seal.ts';
import { TpmTools } from '../../../../image/agent/tpm-tools.ts';
import { signPcr11 } from '../../../../image/build/pcr.ts';
import { SoftwareTpm } from '../../../bootserver/enroll/support/swtpm.ts';

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
};

/** Restarts the machine with another system. */
async function boot({ image, secureBoot = 'on, keys of the fleet', commandLine, ...files }: Boot) {
  await tpm.stop();
  tpm = await new SoftwareTpm(join(folder, 'tpm')).start();
  const env = tpm.environment;
  const extend = (pcr: number, what: string) =>
    mustRun('tpm2_pcrextend', [`${pcr}:sha256=${sha256(what).toString('hex')}`], { env });
  await extend(7, secureBoot);
  await extend(11, image);
  if (commandLine !== undefined) await extend(12, commandLine);
  const signature = files.signature ?? signPcr11(pcr11Of(image), fleetKey.secret);
  await writeFile(join(folder, POLICY_FILES.signature), signature);
  await writeFile(join(folder, POLICY_FILES.key), files.key ?? fleetKey.pub);
  return new Seal(new TpmTools(join(folder, 'run'), env), folder);
}

test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bootwave-seal-'));
  await mkdir(join(folder, 'run'));
  tpm = await new SoftwareTpm(join(folder, 'tpm')).start();
  const seal = await boot({ image: 'release 1' });
  sealed = await seal.close(secret);
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
  const anew = await seal.close(secret);
  t.deepEqual(await seal.open(anew), secret);
});

/** Signed by a stranger, and said to be the fleet's. */
function forged(image: string, key: Buffer): Buffer {
  const by = (signer: Buffer) => JSON.parse(signPcr11(pcr11Of(image), signer).toString()).sha256[0];
  return Buffer.from(JSON.stringify({ sha256: [{ ...by(key), pkfp: by(fleetKey.secret).pkfp }] }));
}
