import * as z from 'zod/mini';
import { hex } from '../enrolment/fields.ts';
import type { Inventory } from '../enrolment/inventory.ts';
import { type SecretsQuestion, secretsAnswer } from '../enrolment/secrets.ts';
import { timeReply } from '../enrolment/server-time.ts';
import { instanceNameSchema } from '../service/name.ts';

/** Milliseconds that a clock may be off before it is set: seconds are the business of NTP. */
export const CLOCK_OFF = 120_000;

/**
 * What the unprivileged agent may ask of root, and nothing else. One JSON line each way over a unix socket; the
 * helper is started for each connection, does one thing and ends.
 */
export const helperRequest = z.discriminatedUnion('operation', [
  z.strictObject({ operation: z.literal('identify') }),
  z.strictObject({
    operation: z.literal('activate'),
    /** Base64, see `keysReply.credential`. */
    blob: z.string().check(z.maxLength(512)),
    seed: z.string().check(z.maxLength(2048)),
  }),
  z.strictObject({
    operation: z.literal('quote'),
    extraData: hex(32),
  }),
  z.strictObject({ operation: z.literal('enrol-secure-boot') }),
  /** Hands the firmware the lists that root prepared (disk/operations.ts, `secure-boot-prepare`). */
  z.strictObject({ operation: z.literal('secure-boot-write') }),
  /** The same with those of the image that runs, on a machine without a disk of ours. */
  z.strictObject({ operation: z.literal('secure-boot-renew') }),
  /** Root verifies the envelope itself. */
  z.strictObject({ operation: z.literal('take-order'), envelope: z.unknown() }),
  z.strictObject({ operation: z.literal('order-memory') }),
  z.strictObject({ operation: z.literal('install-host-key') }),
  z.strictObject({
    operation: z.literal('admit'),
    /** IPv4 of a boot server that has proven itself. */
    address: z.ipv4(),
  }),
  /** Before `set-clock`: what the boot server is to sign with its time. */
  z.strictObject({ operation: z.literal('clock-nonce') }),
  /** Root verifies the answer itself. */
  z.strictObject({ operation: z.literal('set-clock'), reply: timeReply }),
  /** A question for the secrets of a service of the order in force. `nonce` is the boot server's, hex. */
  z.strictObject({
    operation: z.literal('secrets-ask'),
    name: instanceNameSchema,
    nonce: hex(32),
  }),
  /** Root opens the answer itself; what is in it stays there. */
  z.strictObject({ operation: z.literal('secrets-take'), name: instanceNameSchema, answer: secretsAnswer }),
  z.strictObject({ operation: z.literal('failed-units') }),
  z.strictObject({ operation: z.literal('restart') }),
]);
export type HelperRequest = z.infer<typeof helperRequest>;

/** Bytes of a line; an answer with 8 kB of EK certificate fits well. */
export const HELPER_LINE = 64 * 1024;

export type HelperIdentity = {
  smbios: Smbios;
  nics: Inventory['nics'];
  secureBoot: Inventory['secureBoot'];
  /** Base64, see `keysRequest.tpm`; null without a TPM 2.0. */
  tpm: {
    ek: string;
    ekCertificate: string | null;
    ak: string;
    manufacturer: string;
    firmware: string;
  } | null;
  /** OpenSSH public key line of the host key of this boot. */
  hostKey: string;
};

export type HelperQuote = {
  attest: string;
  signature: string;
  pcrs: Record<string, string>;
  /** Base64; null where the kernel has none that fits. */
  eventLog: string | null;
};

export type HelperResults = {
  identify: HelperIdentity;
  /** Hex. */
  activate: { secret: string };
  quote: HelperQuote;
  /** Answered before the machine restarts. */
  'enrol-secure-boot': Record<string, never>;
  /** Names of variables. */
  'secure-boot-write': { written: string[] };
  'secure-boot-renew': { written: string[] };
  'take-order': Taken;
  'order-memory': Remembered;
  'install-host-key': { started: boolean };
  admit: Record<string, never>;
  /** 32 bytes, hex. */
  'clock-nonce': { nonce: string };
  /** False where the clock is right enough, or NTP keeps it. */
  'set-clock': { set: boolean };
  'secrets-ask': SecretsQuestion;
  /** Whether any of them is another than before. */
  'secrets-take': { changed: boolean };
  /** Names, at most 16. */
  'failed-units': { units: string[] };
  restart: Record<string, never>;
};

export type HelperReply<Result> =
  | { ok: true; result: Result }
  | { ok: false; error: { code: string; what: string; unchanged?: string; next?: string } };

export type Remembered = {
  /**
   * Where epoch and floor are kept so that they outlive the disk. `tpm`: in the TPM. `empty`: the TPM holds none, so
   * it is new or was cleared.
   * `none`: no TPM, only the expiry of orders protects this node. `broken`: its TPM cannot keep them.
   */
  memory: 'tpm' | 'empty' | 'none' | 'broken';
  /** The highest epoch that is remembered; 0: none. */
  epoch: number;
  floor: string | null;
};

export type Taken = Remembered & { digest: string; accepted: 'new' | 'same' };

export type Smbios = Pick<Inventory, 'uuid' | 'manufacturer' | 'product' | 'serial' | 'firmware'>;
