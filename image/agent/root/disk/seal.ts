/**
 * A secret that this machine's TPM gives only to this fleet's released images under this fleet's Secure Boot keys.
 * Three conditions in one policy (TPM 2.0 Part 1, 19.7): the fleet's PCR policy key has signed the PCR 11 that the TPM
 * shows, for the release floor to which the secret was sealed, and every release carries this signature for itself; the
 * PCRs below have the values of the sealing, or those predicted then; and nothing was sealed again since.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { BootwaveError } from '../../../../base/error.ts';
import {
  floorReference,
  nearestFloor,
  type PolicySignatures,
  readPcr11Signatures,
} from '../../../../formats/tpm/pcr-signature.ts';
import { authorizedPolicy, nvPolicy, pcrPolicy, toBeAuthorized } from '../../../../formats/tpm/policy.ts';
import type { TpmTools } from '../tpm-tools.ts';
import { following, SEAL_INDEX, SealCounter } from './seal-counter.ts';

/**
 * 7: the state of Secure Boot and whose keys decide. 12 and 13: what a boot loader handed to the stub, command line,
 * credentials and extensions; zero on a node that starts by its own disk or HTTP (systemd-stub(7)).
 */
export const SEALED_PCRS: readonly number[] = [7, 12, 13];

/** Inside the image: what the stub unpacked (image/build/init). */
export const POLICY_FILES = { key: 'tpm2-pcr-public-key.pem', signature: 'tpm2-pcr-signature.json' } as const;

const base64 = z.string().check(z.regex(/^[A-Za-z0-9+/]{1,2048}={0,2}$/));
/** Parts of a TPM object, of use to the TPM that made it only: TPM2B_PUBLIC and TPM2B_PRIVATE; and what its policy asks. */
export const sealedSchema = z.object({
  public: base64,
  private: base64,
  /** Images that were never signed for this floor do not open it; absent or null: every release opens it. */
  floor: z.optional(z.nullable(z.string().check(z.maxLength(64)))),
  /** Value of the seal counter for which it is valid, hex; absent: for all values, as before there was a counter. */
  count: z.optional(z.string().check(z.regex(/^[0-9a-f]{16}$/))),
});
export type Sealed = z.infer<typeof sealedSchema>;

export type SealFor = {
  /** The release floor of this node; the seal uses at most the floor that the running image can show. */
  floor: string | null;
  /** PCR 7 as it will be, 32 bytes; absent: as it is. */
  pcr7?: Buffer;
  /** `next`: it becomes valid when `turn` is called, and from then on only it is. */
  holds: 'now' | 'next';
};

const PCR_LIST = `sha256:${SEALED_PCRS.join(',')}`;

export class Seal {
  readonly #tools: TpmTools;
  readonly #fleet: string;
  readonly #counter: SealCounter;

  /** @param fleet folder with `POLICY_FILES` */
  constructor(tools: TpmTools, fleet: string) {
    this.#tools = tools;
    this.#fleet = fleet;
    this.#counter = new SealCounter(tools);
  }

  /** The floor to which the running image can seal when the node has this one. @throws BootwaveError `SEAL_UNSIGNED` */
  async floor(wanted: string | null): Promise<string | null> {
    return nearestFloor(await this.#signatures(), wanted);
  }

  /**
   * A TPM without room for a counter still seals for the present state, without a counter.
   * @throws BootwaveError `SEAL_UNSIGNED`, `COMMAND_FAILED`, and for `next` `SEAL_COUNTER`
   */
  async close(secret: Uint8Array, { floor: wanted, pcr7, holds }: SealFor): Promise<Sealed> {
    const floor = await this.floor(wanted);
    const counter = await this.#counter.read().catch((error: unknown) => {
      if (holds === 'next') throw error;
      return null;
    });
    const count = counter && (holds === 'now' ? counter.value : following(counter.value));
    return this.#tools.inScratch(async (scratch) => {
      const file = (name: string) => join(scratch, name);
      const before = await this.#pcrs(file('pcrs'));
      if (pcr7 !== undefined) before.set(7, pcr7);
      const key = await this.#loadKey(file('key'));
      const policy = pcrPolicy(authorizedPolicy(key, referenceOf(floor)), before);
      await writeFile(file('policy'), counter === null ? policy : nvPolicy(policy, counter.name, count!));
      await this.#makeParent(file('parent'));
      await this.#must(
        'tpm2_create',
        [
          ...['-C', file('parent'), '-g', 'sha256', '-i', '-', '-L', file('policy')],
          // No password opens it, and wrong tries cause no lockout (TPMA_OBJECT, Part 2, 8.3).
          ...['-a', 'fixedtpm|fixedparent|adminwithpolicy|noda'],
          ...['-u', file('public'), '-r', file('private')],
        ],
        secret,
      );
      const read = async (name: string) => (await readFile(file(name))).toString('base64');
      return {
        public: await read('public'),
        private: await read('private'),
        floor,
        ...(count !== null && { count: count.toString('hex') }),
      };
    });
  }

  /** PCR 7 as it is, hex. @throws BootwaveError `COMMAND_FAILED` */
  async pcr7(): Promise<string> {
    const pcrs = await this.#tools.inScratch((scratch) => this.#pcrs(join(scratch, 'pcrs')));
    return pcrs.get(7)!.toString('hex');
  }

  /** Ends all seals that are valid now. @throws BootwaveError `SEAL_COUNTER`, `COMMAND_FAILED` */
  async turn(): Promise<void> {
    await this.#counter.increment();
  }

  /**
   * @throws BootwaveError `SEAL_UNSIGNED` when the fleet has not signed this image, `SEAL_BELOW_FLOOR` when not for this
   * floor, `COMMAND_FAILED` when the TPM refuses
   */
  async open({ floor = null, count, ...sealed }: Sealed): Promise<Buffer> {
    const { any, floors } = await this.#signatures();
    const signed = floor === null ? any : floors.get(floor);
    if (signed === undefined) throw belowFloor(floor);
    return this.#tools.inScratch(async (scratch) => {
      const file = (name: string) => join(scratch, name);
      await writeFile(file('public'), Buffer.from(sealed.public, 'base64'));
      await writeFile(file('private'), Buffer.from(sealed.private, 'base64'));
      await writeFile(file('policy'), signed.policy);
      await writeFile(file('reference'), referenceOf(floor) ?? '');
      await writeFile(file('authorized'), toBeAuthorized(signed.policy, referenceOf(floor)));
      await writeFile(file('signature'), signed.signature);
      await writeFile(file('count'), Buffer.from(count ?? '', 'hex'));
      await this.#makeParent(file('parent'));
      await this.#must('tpm2_load', [
        ...['-C', file('parent'), '-u', file('public'), '-r', file('private'), '-c', file('object')],
      ]);
      await this.#loadKey(file('key'));
      await this.#must('tpm2_verifysignature', [
        ...['-c', file('key'), '-g', 'sha256', '-f', 'rsassa'],
        ...['-m', file('authorized'), '-s', file('signature'), '-t', file('ticket')],
      ]);
      return this.#inPolicySession(file('session'), async (session) => {
        await this.#must('tpm2_policypcr', ['-S', session, '-l', 'sha256:11']);
        await this.#must('tpm2_policyauthorize', [
          ...['-S', session, '-i', file('policy'), '-n', file('key.name'), '-t', file('ticket')],
          ...(floor === null ? [] : ['-q', file('reference')]),
        ]);
        await this.#must('tpm2_policypcr', ['-S', session, '-l', PCR_LIST]);
        if (count !== undefined)
          await this.#must('tpm2_policynv', [
            ...['-S', session, '-C', 'o', '-i', file('count'), SEAL_INDEX, 'eq'],
          ]);
        await this.#must('tpm2_unseal', [
          ...['-c', file('object'), '-p', `session:${session}`, '-o', file('secret')],
        ]);
        return readFile(file('secret'));
      });
    });
  }

  /** PCR values of the SHA-256 bank. */
  async #pcrs(file: string): Promise<Map<number, Buffer>> {
    await this.#must('tpm2_pcrread', [PCR_LIST, '-o', file]);
    const values = await readFile(file);
    return new Map(SEALED_PCRS.map((pcr, i) => [pcr, values.subarray(32 * i, 32 * i + 32)]));
  }

  /** What the fleet signed for the running image. */
  async #signatures(): Promise<PolicySignatures> {
    const [key, text] = await Promise.all(
      [POLICY_FILES.key, POLICY_FILES.signature].map((name) =>
        readFile(join(this.#fleet, name), 'utf8').catch(() => ''),
      ),
    );
    const mine = key === '' ? null : readPcr11Signatures(key!, text!);
    if (mine !== null) return mine;
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

const referenceOf = (floor: string | null) => (floor === null ? undefined : floorReference(floor));

function belowFloor(floor: string | null): BootwaveError {
  return new BootwaveError({
    code: 'SEAL_BELOW_FLOOR',
    what: `the state is sealed for images from ${floor} on, which the image that runs is not`,
    unchanged: 'nothing was opened',
    next: 'start a newer image',
  });
}
