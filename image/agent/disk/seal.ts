/**
 * A secret that this machine's TPM gives only to this fleet's released images under this fleet's Secure Boot keys. Two
 * conditions in one policy (TPM 2.0 Part 1, 19.7): the fleet's PCR policy key has signed the PCR 11 that the TPM shows, which
 * every release brings along for itself; and the PCRs below stand as they did when it was sealed.
 */
import { createHash, createPublicKey } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { BootwaveError } from '../../../base/error.ts';
import { authorizedPolicy, pcrPolicy } from '../../tpm-policy.ts';
import type { TpmTools } from '../tpm-tools.ts';

/**
 * 7: the state of Secure Boot and whose keys decide. 12 and 13: what a boot loader handed to the stub, command line,
 * credentials and extensions; zero on a node that starts by its own disk or HTTP (systemd-stub(7)).
 */
export const SEALED_PCRS: readonly number[] = [7, 12, 13];

/** Inside the image: what the stub unpacked (image/build/init). */
export const POLICY_FILES = { key: 'tpm2-pcr-public-key.pem', signature: 'tpm2-pcr-signature.json' } as const;

const base64 = z.string().check(z.regex(/^[A-Za-z0-9+/]{1,2048}={0,2}$/));
/** Parts of a TPM object, of use to the TPM that made it only: TPM2B_PUBLIC and TPM2B_PRIVATE. */
export const sealedSchema = z.object({ public: base64, private: base64 });
export type Sealed = z.infer<typeof sealedSchema>;

const signatureSchema = z.object({
  sha256: z.array(
    z.object({
      pcrs: z.array(z.int()),
      pkfp: z.string(),
      pol: z.string().check(z.regex(/^[0-9a-f]{64}$/)),
      sig: base64,
    }),
  ),
});

const PCR_LIST = `sha256:${SEALED_PCRS.join(',')}`;

export class Seal {
  readonly #tools: TpmTools;
  readonly #fleet: string;

  /** @param fleet folder with `POLICY_FILES` */
  constructor(tools: TpmTools, fleet: string) {
    this.#tools = tools;
    this.#fleet = fleet;
  }

  /** @throws BootwaveError `COMMAND_FAILED` */
  close(secret: Uint8Array): Promise<Sealed> {
    return this.#tools.inScratch(async (scratch) => {
      const file = (name: string) => join(scratch, name);
      await this.#must('tpm2_pcrread', [PCR_LIST, '-o', file('pcrs')]);
      const values = await readFile(file('pcrs'));
      const key = await this.#loadKey(file('key'));
      const before = new Map(SEALED_PCRS.map((pcr, i) => [pcr, values.subarray(32 * i, 32 * i + 32)]));
      await writeFile(file('policy'), pcrPolicy(authorizedPolicy(key), before));
      await this.#makeParent(file('parent'));
      await this.#must(
        'tpm2_create',
        [
          ...['-C', file('parent'), '-g', 'sha256', '-i', '-', '-L', file('policy')],
          // No password opens it, and wrong tries lock nothing up (TPMA_OBJECT, Part 2, 8.3).
          ...['-a', 'fixedtpm|fixedparent|adminwithpolicy|noda'],
          ...['-u', file('public'), '-r', file('private')],
        ],
        secret,
      );
      const read = async (name: string) => (await readFile(file(name))).toString('base64');
      return { public: await read('public'), private: await read('private') };
    });
  }

  /** @throws BootwaveError `SEAL_UNSIGNED` when the fleet has not signed this image, `COMMAND_FAILED` when the TPM refuses */
  open(sealed: Sealed): Promise<Buffer> {
    return this.#tools.inScratch(async (scratch) => {
      const file = (name: string) => join(scratch, name);
      const { policy, signature } = await this.#signed();
      await writeFile(file('public'), Buffer.from(sealed.public, 'base64'));
      await writeFile(file('private'), Buffer.from(sealed.private, 'base64'));
      await writeFile(file('policy'), policy);
      await writeFile(file('signature'), signature);
      await this.#makeParent(file('parent'));
      await this.#must('tpm2_load', [
        ...['-C', file('parent'), '-u', file('public'), '-r', file('private'), '-c', file('object')],
      ]);
      await this.#loadKey(file('key'));
      await this.#must('tpm2_verifysignature', [
        ...['-c', file('key'), '-g', 'sha256', '-f', 'rsassa'],
        ...['-m', file('policy'), '-s', file('signature'), '-t', file('ticket')],
      ]);
      return this.#inPolicySession(file('session'), async (session) => {
        await this.#must('tpm2_policypcr', ['-S', session, '-l', 'sha256:11']);
        await this.#must('tpm2_policyauthorize', [
          ...['-S', session, '-i', file('policy'), '-n', file('key.name'), '-t', file('ticket')],
        ]);
        await this.#must('tpm2_policypcr', ['-S', session, '-l', PCR_LIST]);
        await this.#must('tpm2_unseal', [
          ...['-c', file('object'), '-p', `session:${session}`, '-o', file('secret')],
        ]);
        return readFile(file('secret'));
      });
    });
  }

  /** What the fleet signed for the image that runs. */
  async #signed(): Promise<{ policy: Buffer; signature: Buffer }> {
    const [key, text] = await Promise.all(
      [POLICY_FILES.key, POLICY_FILES.signature].map((name) =>
        readFile(join(this.#fleet, name), 'utf8').catch(() => ''),
      ),
    );
    const mine = key === '' ? undefined : entryOf(key!, text!);
    if (mine !== undefined)
      return { policy: Buffer.from(mine.pol, 'hex'), signature: Buffer.from(mine.sig, 'base64') };
    throw new BootwaveError({
      code: 'SEAL_UNSIGNED',
      what: 'the image that runs brings no signature of its PCR 11',
      next: 'build the image again, with the PCR policy key of this fleet',
    });
  }

  /**
   * A primary of the owner's hierarchy: the same until the TPM is cleared, kept nowhere (TPM 2.0 Part 1, 14.4). With noDA,
   * because a TPM counts each power cut after the use of a key without it as a wrong password (Part 1, 19.8.6).
   */
  async #makeParent(context: string): Promise<void> {
    await this.#must('tpm2_createprimary', [
      ...['-C', 'o', '-g', 'sha256', '-G', 'ecc', '-c', context],
      ...['-a', 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|decrypt|noda'],
    ]);
  }

  /** @returns its name */
  async #loadKey(context: string): Promise<Buffer> {
    const pem = join(this.#fleet, POLICY_FILES.key);
    await this.#must('tpm2_loadexternal', [
      ...['-C', 'o', '-G', 'rsa', '-g', 'sha256', '-a', 'userwithauth|sign|decrypt'],
      ...['-u', pem, '-c', context, '-n', `${context}.name`],
    ]);
    return readFile(`${context}.name`);
  }

  async #inPolicySession<T>(session: string, work: (session: string) => Promise<T>): Promise<T> {
    await this.#must('tpm2_startauthsession', ['--policy-session', '-g', 'sha256', '-S', session]);
    try {
      return await work(session);
    } finally {
      await this.#tools.run('tpm2_flushcontext', [session]);
    }
  }

  async #must(program: string, args: readonly string[], input?: Uint8Array): Promise<void> {
    await this.#tools.must(program, args, input);
    await this.#tools.flush();
  }
}

/** The signature over PCR 11 alone that this key has made, or nothing. */
function entryOf(key: string, text: string) {
  try {
    const der = createPublicKey(key).export({ type: 'pkcs1', format: 'der' });
    const fingerprint = createHash('sha256').update(der).digest('hex');
    const { sha256 } = signatureSchema.parse(JSON.parse(text));
    return sha256.find(({ pcrs, pkfp }) => pkfp === fingerprint && pcrs.join() === '11');
  } catch {
    return undefined;
  }
}
