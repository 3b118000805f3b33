import { createHash, randomBytes } from 'node:crypto';
import { z } from 'zod';
import { defined } from '../../base/defined.ts';
import { SHA256_HEX } from '../../formats/digest.ts';
import { digestKey, isOwnMac, isPlaceholder, macOf, serialKey } from '../../formats/identifiers.ts';

const hexDigest = z.string().regex(SHA256_HEX);

/** What an expected machine must show. All given facts must match; at least one is given. */
export const criteriaSchema = z
  .object({
    mac: z
      .string()
      .regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/)
      .optional(),
    /** SMBIOS serial number of the machine. */
    serial: z.string().min(1).max(128).optional(),
    /** Hex SHA-256 of the EK's TPMT_PUBLIC. */
    ek: hexDigest.optional(),
    /** Hex SHA-256 of a single-use enrolment token; the token itself is never kept. */
    token: hexDigest.optional(),
  })
  .refine((criteria) => Object.values(criteria).some((value) => value !== undefined));
export type Criteria = z.infer<typeof criteriaSchema>;

/** A machine that may come in once, without anybody being asked. */
export const expectationSchema = z.object({
  id: z.string(),
  state: z.enum(['open', 'used', 'withdrawn']),
  epoch: z.int().min(1),
  site: z.string(),
  /** The name kept for it until it comes; null: an automatic one. */
  name: z.string().nullable(),
  criteria: criteriaSchema,
  by: z.string(),
  at: z.number(),
  /** Milliseconds since the epoch; null: never. */
  expiresAt: z.number().nullable(),
  usedBy: z.string().nullable(),
});
export type Expectation = z.infer<typeof expectationSchema>;

function tokenDigest(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

/** A token of 130 random bits, easy to read out: `bw-` and 26 letters and digits without 0, 1, l, o. */
export function newToken(): { token: string; digest: string } {
  const alphabet = 'abcdefghijkmnpqrstuvwxyz23456789';
  const token = `bw-${Array.from(randomBytes(26), (byte) => alphabet[byte % 32]).join('')}`;
  return { token, digest: tokenDigest(token) };
}

/** What a machine shows of itself. */
export type Shown = {
  macs: readonly string[];
  serial: string;
  ekDigest: string | null;
  token: string | null;
};

/** The index entries by which an expectation for this machine may be found. */
export function criteriaKeys(shown: Shown): string[] {
  return [
    ...(shown.ekDigest === null ? [] : [`ek:${shown.ekDigest}`]),
    ...(shown.token === null ? [] : [`token:${tokenDigest(shown.token)}`]),
    ...(isPlaceholder(shown.serial) ? [] : [`serial:${serialKey(shown.serial)}`]),
    ...shown.macs.map((mac) => `mac:${mac}`),
  ];
}

/** The index entries of an expectation. */
export function indexOf(criteria: Criteria): string[] {
  return Object.entries(criteria).flatMap(([kind, value]) =>
    value === undefined ? [] : [`${kind}:${value}`],
  );
}

/** Whether this expectation lets this machine in at this site now. */
export function matches(expectation: Expectation, shown: Shown, site: string, now: number): boolean {
  const { criteria } = expectation;
  return (
    expectation.state === 'open' &&
    expectation.site === site &&
    (expectation.expiresAt === null || now < expectation.expiresAt) &&
    (criteria.mac === undefined || shown.macs.includes(criteria.mac)) &&
    (criteria.serial === undefined || hasSerial(criteria.serial, shown)) &&
    (criteria.ek === undefined || criteria.ek === shown.ekDigest) &&
    (criteria.token === undefined || (shown.token !== null && criteria.token === tokenDigest(shown.token)))
  );
}

/** Two boards whose makers filled in nothing show the same value; it identifies neither. */
const hasSerial = (serial: string, shown: Shown): boolean =>
  !isPlaceholder(serial) && serialKey(serial) === serialKey(shown.serial);

/** Facts in the one form in which they are kept and compared; invalid ones are left for the schema to refuse. */
export function spelled({ mac, serial, ek, token }: Criteria): Criteria {
  return defined({
    mac: mac === undefined ? undefined : (macOf(mac) ?? mac),
    serial: serial === undefined ? undefined : serialKey(serial),
    ek: ek === undefined ? undefined : digestKey(ek),
    token,
  });
}

/** Which of these facts other machines may show as well; null when all of them identify one machine. */
export function commonFact({ mac, serial }: Criteria): string | null {
  if (serial !== undefined && isPlaceholder(serial)) return `serial number '${serial}'`;
  return mac !== undefined && !isOwnMac({ mac, driver: '' }) ? `MAC ${mac}` : null;
}

/** For people: which fact let it in. */
export function describe(criteria: Criteria): string {
  return indexOf(criteria)
    .map((key) => (key.startsWith('token:') ? 'single-use token' : key.replace(':', ' ')))
    .join(' and ');
}
