import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../../../base/run.ts';
import type { KeysReply, ProofRequest } from '../../../../protocol/enrolment/messages.ts';
import type { SoftwareTpm } from './swtpm.ts';

/** Attributes of a proper attestation key. */
export const SOUND = 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign|noda';

/** Keys, quotes and activations of a TPM that no honest agent makes. */
export class RogueTpm {
  readonly #software: SoftwareTpm;
  readonly #folder: string;

  constructor(folder: string, software: SoftwareTpm) {
    this.#folder = folder;
    this.#software = software;
  }

  /** @returns TPM2B_PUBLIC, base64 */
  async key(name: string, hierarchy: string, attributes: string): Promise<string> {
    await this.#tools([
      'tpm2_createprimary',
      ...['-C', hierarchy, '-g', 'sha256', '-G', 'ecc256:ecdsa-sha256:null', '-a', attributes],
      ...['-c', `${name}.ctx`, '-f', 'tss', '-o', `${name}.pub`],
    ]);
    return this.#read(`${name}.pub`, 'base64');
  }

  /** @param extra hex */
  async quote(
    name: string,
    selection: string,
    extra: string,
  ): Promise<Omit<NonNullable<ProofRequest['quote']>, 'pcrs'>> {
    await this.#tools([
      'tpm2_quote',
      ...['-c', `${name}.ctx`, '-g', 'sha256', '-l', selection, '-q', extra],
      ...['-m', `${name}.msg`, '-s', `${name}.sig`, '-o', `${name}.pcr`, '-F', 'values'],
    ]);
    return {
      attest: await this.#read(`${name}.msg`, 'base64'),
      signature: await this.#read(`${name}.sig`, 'base64'),
    };
  }

  /** TPM2_GetTime: signed by the key, made by the TPM, and no quote (TPM 2.0 Part 3, 18.7). @param extra hex */
  async time(name: string, extra: string): Promise<Omit<NonNullable<ProofRequest['quote']>, 'pcrs'>> {
    await this.#tools([
      'tpm2_gettime',
      ...['-c', `${name}.ctx`, '-g', 'sha256', '-q', extra],
      ...['--attestation', `${name}.msg`, '-o', `${name}.sig`],
    ]);
    return {
      attest: await this.#read(`${name}.msg`, 'base64'),
      signature: await this.#read(`${name}.sig`, 'base64'),
    };
  }

  /** @returns the secret, hex; null when the TPM refuses */
  async activate(
    name: string,
    credential: NonNullable<KeysReply['credential']>,
    ek: 'rsa' | 'ecc' = 'rsa',
  ): Promise<string | null> {
    const parts = ['badcc0de00000001', credential.blob, credential.seed];
    const bytes = parts.map((part, i) => Buffer.from(part, i === 0 ? 'hex' : 'base64'));
    await writeFile(join(this.#folder, 'credential'), Buffer.concat(bytes));
    try {
      await this.#tools(
        ['tpm2_createek', '-G', ek, '-c', 'ek.ctx', '-u', 'ek.pub', '-f', 'tss'],
        ['tpm2_startauthsession', '--policy-session', '-S', 'session.ctx'],
        ['tpm2_policysecret', '-S', 'session.ctx', '-c', 'e'],
        [
          'tpm2_activatecredential',
          ...['-c', `${name}.ctx`, '-C', 'ek.ctx', '-P', 'session:session.ctx'],
          ...['-i', 'credential', '-o', 'secret'],
        ],
      );
      return await this.#read('secret', 'hex');
    } catch {
      return null;
    } finally {
      await this.#tools(['tpm2_flushcontext', '-s']);
    }
  }

  /** @returns TPM2B_PUBLIC of the EK, base64 */
  async endorsementKey(kind: 'rsa' | 'ecc'): Promise<string> {
    await this.#tools(['tpm2_createek', '-G', kind, '-c', 'ek.ctx', '-u', 'ek.pub', '-f', 'tss']);
    return this.#read('ek.pub', 'base64');
  }

  #read(name: string, encoding: BufferEncoding): Promise<string> {
    return readFile(join(this.#folder, name), encoding);
  }

  async #tools(...commands: [string, ...string[]][]): Promise<void> {
    const options = { env: this.#software.environment, cwd: this.#folder };
    await this.#software.exclusive(async () => {
      for (const [name, ...args] of commands) {
        const { code, stderr } = await run(name, args, options);
        await run('tpm2_flushcontext', ['-t'], options);
        if (code !== 0) throw new Error(`${name}: ${stderr}`);
      }
    });
  }
}
