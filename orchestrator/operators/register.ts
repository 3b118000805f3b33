import { join } from 'node:path';
import { z } from 'zod';
import { appendLine, readLines } from '../../base/append-line.ts';
import { type BootwaveError, refusal } from '../../base/error.ts';
import { operatorRefusal } from '../../keys/operator.ts';
import { ROLES } from '../../keys/operator-roles.ts';

const issuedSchema = z.object({
  serial: z.string(),
  name: z.string(),
  role: z.enum(ROLES),
  sites: z.array(z.string()),
  /** Of an owner; absent: none. */
  slices: z.array(z.string()).readonly().optional(),
  /** Milliseconds since the epoch. */
  notBefore: z.number(),
  notAfter: z.number(),
  /** Serial of the issuing operator's certificate; absent: root issued it, who needs none. */
  via: z.string().optional(),
  /** Id of the operators CA that signed it; absent: the first one. */
  issuer: z.string().optional(),
});
export type Issued = z.infer<typeof issuedSchema>;
const by = { by: z.string(), at: z.number() };
const lineSchema = z.union([
  z.object({ issued: issuedSchema, ...by }),
  z.object({ revoked: z.string(), reason: z.string(), ...by }),
]);

export type Revocation = { by: string; at: number; reason: string };
export type Registered = Issued & { by: string; at: number; revoked: Revocation | null };

/** @throws BootwaveError `OPERATOR_UNKNOWN` */
export function registered(register: readonly Registered[], serial: string, name: string): Registered {
  const entry = register.find((one) => one.serial === serial);
  if (entry !== undefined) return entry;
  throw operatorRefusal('OPERATOR_UNKNOWN', `the certificate of ${name} is not in the register of operators`);
}

/** Names of those whose certificates are for a slice at a time, milliseconds since the epoch. */
export function ownersOf(register: readonly Registered[], slice: string, at: number): string[] {
  const theirs = register.filter(
    ({ slices, notBefore, notAfter, revoked }) =>
      slices?.includes(slice) && notBefore <= at && at < notAfter && (revoked === null || at < revoked.at),
  );
  return [...new Set(theirs.map(({ name }) => name))].sort();
}

/**
 * Every certificate that was issued to an operator, and every one revoked: a file beside the keys that only grows. A
 * certificate that is not in it is refused, so a copied CA key alone makes no operator.
 */
export class OperatorRegister {
  readonly path: string;

  constructor(keysFolder: string) {
    this.path = join(keysFolder, 'operators', 'register.jsonl');
  }

  /** In the order in which they were issued. @throws BootwaveError `OPERATOR_REGISTER` */
  async list(): Promise<Registered[]> {
    const found = new Map<string, Registered>();
    for (const { number, line: text } of await readLines(this.path)) {
      const line = parse(text);
      if (line === null) throw unreadable(this.path, number);
      if ('issued' in line) {
        const { issued, ...rest } = line;
        if (!found.has(issued.serial)) found.set(issued.serial, { ...issued, ...rest, revoked: null });
        continue;
      }
      const { revoked: serial, ...revocation } = line;
      const one = found.get(serial);
      if (one !== undefined) one.revoked ??= revocation;
    }
    return [...found.values()];
  }

  async add(issued: Issued, who: { actor: string; at: number }): Promise<void> {
    const line = { issued: issuedSchema.parse(issued), by: who.actor, at: who.at };
    await appendLine(this.path, JSON.stringify(line));
  }

  async revoke(serial: string, revocation: Revocation): Promise<void> {
    await appendLine(this.path, JSON.stringify({ revoked: serial, ...revocation }));
  }
}

function parse(text: string): z.infer<typeof lineSchema> | null {
  try {
    return lineSchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}

function unreadable(path: string, line: number): BootwaveError {
  return refusal(
    'OPERATOR_REGISTER',
    `line ${line} of ${path} cannot be read, so it is unknown which certificates were revoked`,
    'restore the file from the newest backup of the keys; a line that was cut off, and that no command reported as done, may be deleted',
  );
}
