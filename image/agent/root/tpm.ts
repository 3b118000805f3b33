import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError } from '../../../base/error.ts';
import { exists } from '../../../base/files.ts';
import { ACTIVATE_CREDENTIAL } from '../../../formats/tpm/policy.ts';
import { QUOTED_PCRS } from '../../../protocol/enrolment/quote.ts';
import { HELD_PCRS } from '../../../protocol/service/sealed.ts';
import { TpmTools } from './tpm-tools.ts';

/**
 * TPMT_PUBLIC of the EK template L-1 up to the modulus: RSA 2048, AES-128-CFB (TCG EK Credential Profile 2.5, B.3.3).
 * Equal templates give equal keys, so a key that the platform made persistent saves the search for primes.
 */
const EK_TEMPLATE =
  '0001000b000300b20020837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa00060080004300100800000000000100';
/** Handle of a persistent EK and NV index of its certificate, RSA (TCG EK Credential Profile 2.5, 2.2.1). */
const EK_HANDLE = '0x81010001';
const EK_CERTIFICATE = '0x01c00002';

/** See `checkDeliveryKey`. */
const DELIVERY_ATTRIBUTES =
  'fixedtpm|fixedparent|sensitivedataorigin|adminwithpolicy|restricted|decrypt|noda';
const AK_ATTRIBUTES = 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign|noda';

const listOf = (pcrs: readonly number[]): string => `sha256:${pcrs.join(',')}`;

export type TpmIdentity = {
  /** TPM2B_PUBLIC. */
  ek: Buffer;
  /** DER; null if the TPM's maker stored none. */
  ekCertificate: Buffer | null;
  /** TPM2B_PUBLIC. */
  ak: Buffer;
  manufacturer: string;
  firmware: string;
};

/** How tpm2-tools keep a credential in a file: magic and version, then TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET. */
const CREDENTIAL_FILE = Buffer.from('badcc0de00000001', 'hex');

export type QuoteFiles = { attest: Buffer; signature: Buffer; pcrs: Record<string, string> };

/** The machine's TPM, through tpm2-tools; `TPM2TOOLS_TCTI` in `environment` says which. */
export class Tpm {
  readonly #folder: string;
  readonly #tools: TpmTools;

  /** @param folder for saved contexts, on tmpfs; they are of use to this TPM until its next reset only */
  constructor(folder: string, environment: NodeJS.ProcessEnv) {
    this.#folder = folder;
    this.#tools = new TpmTools(folder, environment);
  }

  async identify(): Promise<TpmIdentity> {
    return this.#tools.inScratch(async (scratch) => {
      const ek = await this.#endorsementKey(scratch);
      return {
        ek,
        ekCertificate: await this.#endorsementCertificate(scratch),
        ak: await this.#makeAttestationKey(),
        ...(await this.#maker()),
      };
    });
  }

  /**
   * TPM2_Quote over `QUOTED_PCRS`, SHA-256 bank (TPM 2.0 Part 3, 18.4).
   * @param extraData 32 bytes
   */
  async quote(extraData: Uint8Array): Promise<QuoteFiles> {
    return this.#tools.inScratch(async (scratch) => {
      const file = (name: string) => join(scratch, name);
      const args = [
        ...['-c', this.#akContext, '-g', 'sha256', '-l', listOf(QUOTED_PCRS)],
        ...['-q', Buffer.from(extraData).toString('hex'), '-F', 'values'],
        ...['-m', file('attest'), '-s', file('signature'), '-o', file('pcrs')],
      ];
      const first = await this.#tools.run('tpm2_quote', args);
      await this.#tools.flush();
      if (first.code !== 0) {
        // The saved context does not outlive a reset of the TPM; the key does.
        await this.#makeAttestationKey();
        await this.#tools.must('tpm2_quote', args);
        await this.#tools.flush();
      }
      return {
        attest: await readFile(file('attest')),
        signature: await readFile(file('signature')),
        pcrs: await pcrsIn(file('pcrs'), QUOTED_PCRS),
      };
    });
  }

  /** PCRs `HELD_PCRS` as they are now, which nothing vouches for. @throws BootwaveError `TPM_BANK` */
  async heldPcrs(): Promise<QuoteFiles['pcrs']> {
    return this.#tools.inScratch(async (scratch) => {
      const file = join(scratch, 'pcrs');
      await this.#tools.must('tpm2_pcrread', [listOf(HELD_PCRS), '-F', 'values', '-o', file]);
      return pcrsIn(file, HELD_PCRS);
    });
  }

  /**
   * TPM2_ActivateCredential: the TPM gives the secret out when it holds the EK's private half and the AK that the
   * credential names (TPM 2.0 Part 3, 12.5; Part 1, 24).
   * @param blob TPM2B_ID_OBJECT
   * @param seed TPM2B_ENCRYPTED_SECRET
   * @throws BootwaveError `TPM_ACTIVATION` when the credential was made for another EK or AK
   */
  async activate(blob: Uint8Array, seed: Uint8Array): Promise<Buffer> {
    return this.#tools.inScratch(async (scratch) => {
      const secret = await this.#opened(scratch, { blob, seed }, ['-c', this.#akContext]);
      if (secret !== null) return secret;
      // Saved contexts do not outlive a reset of the TPM; the keys do.
      await this.#makeAttestationKey();
      await rm(this.#ekContext, { force: true });
      const again = await this.#opened(scratch, { blob, seed }, ['-c', this.#akContext]);
      return again ?? Promise.reject(notOpened());
    });
  }

  /**
   * A storage key of this TPM alone, made again identically for the same policy; stored nowhere.
   * @param policy see `deliveryPolicy`
   * @returns TPM2B_PUBLIC
   */
  async deliveryKey(policy: Uint8Array): Promise<Buffer> {
    return this.#tools.inScratch(async (scratch) => {
      await this.#makeDeliveryKey(scratch, policy);
      return readFile(join(scratch, 'delivery.pub'));
    });
  }

  /**
   * As `activate`, for a credential that names the delivery key: only while the PCRs are those of its policy.
   * @throws BootwaveError `TPM_ACTIVATION`
   */
  async openDelivery(policy: Uint8Array, blob: Uint8Array, seed: Uint8Array): Promise<Buffer> {
    return this.#tools.inScratch(async (scratch) => {
      await this.#makeDeliveryKey(scratch, policy);
      const session = join(scratch, 'delivery-session.ctx');
      const attempt = async () => {
        await this.#tools.must('tpm2_startauthsession', ['--policy-session', '-S', session]);
        try {
          await this.#tools.must('tpm2_policypcr', ['-S', session, '-l', listOf(HELD_PCRS)]);
          await this.#tools.must('tpm2_policycommandcode', ['-S', session, `${ACTIVATE_CREDENTIAL}`]);
          const key = ['-c', join(scratch, 'delivery.ctx'), '-p', `session:${session}`];
          return await this.#opened(scratch, { blob, seed }, key);
        } finally {
          await this.#tools.run('tpm2_flushcontext', [session]);
          await this.#tools.flush();
        }
      };
      const secret = await attempt();
      if (secret !== null) return secret;
      await rm(this.#ekContext, { force: true });
      return (await attempt()) ?? Promise.reject(notOpened());
    });
  }

  /** @param key arguments that name the key of the credential, and its session @returns null when the TPM refuses */
  async #opened(
    scratch: string,
    { blob, seed }: { blob: Uint8Array; seed: Uint8Array },
    key: readonly string[],
  ): Promise<Buffer | null> {
    const [credential, secret] = [join(scratch, 'credential'), join(scratch, 'secret')];
    await writeFile(credential, Buffer.concat([CREDENTIAL_FILE, blob, seed]));
    const ek = await this.#endorsementContext(scratch);
    const { code } = await this.#inEndorsementSession(scratch, (session) =>
      this.#tools.run('tpm2_activatecredential', [
        ...[...key, '-C', ek, '-P', `session:${session}`],
        ...['-i', credential, '-o', secret],
      ]),
    );
    return code === 0 ? readFile(secret) : null;
  }

  get #akContext(): string {
    return join(this.#folder, 'ak.ctx');
  }

  get #ekContext(): string {
    return join(this.#folder, 'ek.ctx');
  }

  /** Whoever has the authority of the endorsement hierarchy may use the EK (TCG EK Credential Profile 2.5, B.6.2). */
  async #inEndorsementSession<T>(scratch: string, work: (session: string) => Promise<T>): Promise<T> {
    const session = join(scratch, 'session.ctx');
    // Each tool saves the session before it ends: what the TPM has swapped out, the kernel's resource manager leaves be.
    await this.#tools.must('tpm2_startauthsession', ['--policy-session', '-S', session]);
    try {
      await this.#tools.must('tpm2_policysecret', ['-S', session, '-c', 'e']);
      return await work(session);
    } finally {
      await this.#tools.run('tpm2_flushcontext', [session]);
      await this.#tools.flush();
    }
  }

  async #endorsementKey(scratch: string): Promise<Buffer> {
    return (await this.#persistentEndorsementKey(scratch)) ?? this.#makeEndorsementKey(scratch);
  }

  /** @returns what tpm2-tools take for the EK: its handle, or the file of its context */
  async #endorsementContext(scratch: string): Promise<string> {
    if ((await this.#persistentEndorsementKey(scratch)) !== null) return EK_HANDLE;
    const saved = await exists(this.#ekContext);
    if (!saved) await this.#makeEndorsementKey(scratch);
    return this.#ekContext;
  }

  async #persistentEndorsementKey(scratch: string): Promise<Buffer | null> {
    const file = join(scratch, 'ek.pub');
    const { code } = await this.#tools.run('tpm2_readpublic', ['-c', EK_HANDLE, '-f', 'tss', '-o', file]);
    const bytes = code === 0 ? await readFile(file) : Buffer.alloc(0);
    return bytes.toString('hex', 2).startsWith(EK_TEMPLATE) ? bytes : null;
  }

  /** The context is kept for `activate`: a discrete TPM looks for the primes for half a minute. */
  async #makeEndorsementKey(scratch: string): Promise<Buffer> {
    const file = join(scratch, 'ek.pub');
    await this.#tools.must('tpm2_createek', ['-G', 'rsa', '-c', this.#ekContext, '-u', file, '-f', 'tss']);
    await this.#tools.flush();
    return readFile(file);
  }

  async #endorsementCertificate(scratch: string): Promise<Buffer | null> {
    const file = join(scratch, 'ek.crt');
    const read = await this.#tools.run('tpm2_nvread', [EK_CERTIFICATE, '-o', file]);
    if (read.code !== 0) return null;
    const bytes = await readFile(file);
    // Some makers fill up the rest of the index; the certificate's own length says where it ends (SEQUENCE, 2 bytes of
    // length).
    if (bytes.length < 4 || bytes.readUInt16BE(0) !== 0x3082) return null;
    return bytes.subarray(0, Math.min(bytes.length, 4 + bytes.readUInt16BE(2)));
  }

  /** A primary of the endorsement hierarchy: the same key at every boot, stored nowhere (TPM 2.0 Part 1, 14.4). */
  async #makeAttestationKey(): Promise<Buffer> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const file = join(this.#folder, 'ak.pub');
    await this.#tools.must('tpm2_createprimary', [
      ...['-C', 'e', '-g', 'sha256', '-G', 'ecc256:ecdsa-sha256:null', '-a', AK_ATTRIBUTES],
      ...['-c', this.#akContext, '-f', 'tss', '-o', file],
    ]);
    await this.#tools.flush();
    return readFile(file);
  }

  /** Leaves `delivery.ctx` and `delivery.pub`. */
  async #makeDeliveryKey(scratch: string, policy: Uint8Array): Promise<void> {
    const file = (name: string) => join(scratch, name);
    await writeFile(file('policy'), policy);
    await this.#tools.must('tpm2_createprimary', [
      ...['-C', 'e', '-g', 'sha256', '-G', 'ecc256:aes128cfb', '-a', DELIVERY_ATTRIBUTES],
      ...['-L', file('policy'), '-c', file('delivery.ctx'), '-f', 'tss', '-o', file('delivery.pub')],
    ]);
    await this.#tools.flush();
  }

  async #maker(): Promise<{ manufacturer: string; firmware: string }> {
    const { stdout } = await this.#tools.must('tpm2_getcap', ['properties-fixed']);
    const property = (name: string) =>
      Number(new RegExp(`TPM2_PT_${name}:\\s+raw: (0x[0-9A-Fa-f]+)`).exec(stdout)?.[1] ?? 0);
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(property('MANUFACTURER'));
    const halves = [property('FIRMWARE_VERSION_1'), property('FIRMWARE_VERSION_2')];
    return {
      manufacturer: bytes.toString('latin1').replace(/[^\x21-\x7e]/g, ''),
      firmware: halves.flatMap((half) => [half >>> 16, half & 0xffff]).join('.'),
    };
  }
}

/** What tpm2-tools wrote as `values`: one after the other, SHA-256. @throws BootwaveError `TPM_BANK` */
async function pcrsIn(file: string, pcrs: readonly number[]): Promise<Record<string, string>> {
  const values = await readFile(file);
  if (values.length !== pcrs.length * 32)
    throw new BootwaveError({ code: 'TPM_BANK', what: 'this TPM has no SHA-256 bank with all PCRs' });
  return Object.fromEntries(pcrs.map((pcr, i) => [pcr, values.toString('hex', i * 32, i * 32 + 32)]));
}

const notOpened = () =>
  new BootwaveError({
    code: 'TPM_ACTIVATION',
    what: "the TPM does not open the boot server's credential",
    next: 'was the TPM cleared, or its module replaced, since this machine started? Restart it',
  });
