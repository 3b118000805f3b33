/**
 * The consents on which an order may depend: a file that only grows, written by people's commands and read by the
 * signer. It is a file and not a request to the signer, because a process that wants orders signed must be able to talk
 * to the signer, but must not be able to give consent by that alone; nor can anybody who has only Redis.
 */
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { appendLine } from '../../base/append-line.ts';
import { AppendedLines } from '../../base/appended-lines.ts';
import { BootwaveError } from '../../base/error.ts';

const said = { by: z.string(), at: z.number() };
const consentSchema = z.discriminatedUnion('say', [
  /** The data on this node's disk may go, for one installation. */
  z.object({ say: z.literal('wipe'), node: z.string(), id: z.string(), ...said }),
  z.object({ say: z.literal('keep-data'), node: z.string(), ...said }),
  /** No order names an older image; null: there is no floor. */
  z.object({ say: z.literal('floor'), version: z.string().nullable(), ...said }),
  /** No order moves a node to this image. */
  z.object({ say: z.literal('withdraw'), version: z.string(), ...said }),
  z.object({ say: z.literal('reinstate'), version: z.string(), ...said }),
  /** Orders may name this configuration. */
  z.object({ say: z.literal('config'), sha256: z.string(), version: z.string(), ...said }),
]);
type Consent = z.infer<typeof consentSchema>;
type Unrecorded<W> = W extends Consent ? Omit<W, 'by' | 'at' | 'id'> : never;

export type WipeConsent = { id: string; by: string; at: number };

/** The result of all consents. */
export type Rules = {
  floor: string | null;
  withdrawn: Set<string>;
  /** Versions of published configurations, by the SHA-256 of the document. */
  configs: Map<string, string>;
  /** By node; the newest consent that was not withdrawn. */
  wipes: Map<string, WipeConsent>;
};

/** Appends one consent, durably. */
export async function recordConsent(
  path: string,
  consent: Unrecorded<Consent>,
  by: { actor: string; at: number },
): Promise<void> {
  const id = consent.say === 'wipe' ? { id: randomBytes(8).toString('hex') } : {};
  const line = consentSchema.parse({ ...consent, ...id, by: by.actor, at: by.at });
  await appendLine(path, JSON.stringify(line));
}

/** Reads only what was appended since it looked last. */
export class Consents {
  readonly #path: string;
  readonly #file: AppendedLines;
  #rules = noConsents();
  #looking: Promise<Rules> | null = null;

  constructor(path: string) {
    this.#path = path;
    this.#file = new AppendedLines(path, { keeps: true });
  }

  /** @throws BootwaveError `SIGNER_WORDS`: nothing is signed while it is unknown what was forbidden */
  current(): Promise<Rules> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null;
    });
    return this.#looking;
  }

  async #look(): Promise<Rules> {
    try {
      await this.#file.read((lines, isWhole) => {
        const consents = lines.map(({ line }) => consentSchema.parse(JSON.parse(line)));
        if (isWhole) this.#rules = noConsents();
        for (const consent of consents) applyConsent(this.#rules, consent);
      });
    } catch (cause) {
      throw unreadable(this.#path, cause);
    }
    return this.#rules;
  }
}

const noConsents = (): Rules => ({
  floor: null,
  withdrawn: new Set(),
  configs: new Map(),
  wipes: new Map(),
});

function applyConsent(rules: Rules, consent: Consent): void {
  switch (consent.say) {
    case 'wipe':
      rules.wipes.set(consent.node, { id: consent.id, by: consent.by, at: consent.at });
      return;
    case 'keep-data':
      rules.wipes.delete(consent.node);
      return;
    case 'floor':
      rules.floor = consent.version;
      return;
    case 'withdraw':
      rules.withdrawn.add(consent.version);
      return;
    case 'reinstate':
      rules.withdrawn.delete(consent.version);
      return;
    case 'config':
      rules.configs.set(consent.sha256, consent.version);
  }
}

export function unreadable(path: string, cause: unknown): BootwaveError {
  return new BootwaveError({
    code: 'SIGNER_WORDS',
    what: `${path} cannot be read, so it is unknown what was decided or forbidden`,
    unchanged: 'nothing was signed',
    next: 'restore the file from the newest backup of the data directory; a line that was cut off, and that no command reported as done, may be deleted',
    cause,
  });
}
