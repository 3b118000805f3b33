/** Whether two signatures come from two people. */
import type { X509Certificate } from 'node:crypto';
import { BootwaveError } from '../../base/error.ts';
import { operatorRefusal, readOperator } from '../../keys/operator.ts';
import type { Role } from '../../keys/operator-roles.ts';
import { type Vote, voter, type Word } from '../../keys/vote.ts';
import { type Registered, registered } from './register.ts';
import { isNamed, readWish, type Wish } from './request.ts';

/** What is known of operators: all their CAs, those that are still valid, and every certificate that was issued. */
export type Known = {
  cas: readonly X509Certificate[];
  trusted: readonly X509Certificate[];
  register: readonly Registered[];
  /** Ids of requests that somebody denied or ended, whatever their records say. */
  denied: ReadonlySet<string>;
};

/**
 * When a vote is counted, milliseconds since the epoch: its certificate has to be valid at that moment, because the
 * signer chooses the time in a vote. Null: this machine counted it long ago and has recorded that; what happened to the
 * certificate since does not matter.
 */
export type Counting = number | null;

/** Milliseconds by which a vote may be ahead of our clock: clocks differ. */
const AHEAD = 300_000;

export type Person = {
  name: string;
  role: Role;
  /** Of an owner of slices. */
  slices: readonly string[];
  serial: string;
  /**
   * The holder, and everybody from whose certificate theirs was issued, directly or not: each of these could be the
   * holder.
   */
  behind: ReadonlySet<string>;
};

/**
 * Who cast a vote, if their certificate is valid.
 * @throws BootwaveError `OPERATOR_PROOF`, `OPERATOR_UNKNOWN`, `OPERATOR_REVOKED`, and what `readOperator` throws
 */
export function personOf(cast: Vote, word: Word, text: string, known: Known, counting: Counting): Person {
  const { cas, trusted, register } = known;
  const certificate = voter(cast, word, text);
  if (certificate === null)
    throw operatorRefusal('OPERATOR_PROOF', 'a signature under the request does not hold');
  const {
    name,
    role,
    slices = [],
    serial,
  } = readOperator(certificate, counting === null ? cas : trusted, counting ?? cast.at);
  const entry = registered(register, serial, name);
  if (entry.revoked !== null && (counting !== null || entry.revoked.at <= cast.at))
    throw operatorRefusal('OPERATOR_REVOKED', `the certificate of ${name}, who signed, was revoked`);
  if (counting !== null && cast.at > counting + AHEAD)
    throw operatorRefusal('OPERATOR_PROOF', `the signature of ${name} is from a time to come`);
  return { name, role, slices, serial, behind: behind(entry, register) };
}

/**
 * Names of all people who could hold this certificate.
 * @returns undefined without a certificate, or with one that is not in the register
 */
export function peopleBehind(
  serial: string | undefined,
  register: readonly Registered[],
): readonly string[] | undefined {
  const entry = serial === undefined ? undefined : register.find((one) => one.serial === serial);
  return entry === undefined ? undefined : [...behind(entry, register)];
}

/** Up to root, who needs no certificate to issue one. */
function behind(entry: Registered, register: readonly Registered[]): Set<string> {
  const names = new Set<string>();
  const met = new Set<Registered>();
  for (let one: Registered | undefined = entry; one !== undefined && !met.has(one); ) {
    met.add(one);
    names.add(one.name);
    const via: string | undefined = one.via;
    one = via === undefined ? undefined : register.find(({ serial }) => serial === via);
  }
  return names;
}

/** @throws BootwaveError `REQUEST_ONE_PERSON` */
export function checkTwo(first: Person, second: Person): void {
  const common = [...first.behind].find((name) => second.behind.has(name));
  if (common === undefined) return;
  const same = first.name === second.name;
  throw new BootwaveError({
    code: 'REQUEST_ONE_PERSON',
    what: same
      ? `both signatures are those of ${first.name}`
      : `${common} stands behind the certificates of both ${first.name} and ${second.name}, and could be both`,
    unchanged: 'the request waits for a second person',
    next: same
      ? 'another person has to approve it'
      : "certificates for that are given by root: 'bootwave operator add'",
  });
}

/**
 * Whether two people of the core team agreed: one asked, another approved in time.
 * @returns what they agreed on; null: they did not, whatever the record says
 */
export function agreed(
  text: string,
  ask: Vote,
  approve: Vote,
  known: Known,
  counting: Counting,
): (Wish & { serial: string }) | null {
  const wish = readWish(text);
  if (wish === null || approve.at < ask.at || approve.at >= wish.expires || ask.at !== wish.at) return null;
  if (counting !== null && !isNamed(wish)) return null;
  try {
    const first = personOf(ask, 'ask', text, known, counting);
    const second = personOf(approve, 'approve', text, known, counting);
    checkTwo(first, second);
    const may = [first, second].every(({ role }) => role === 'core' || role === 'admin');
    return may && wish.actor === `operator:${first.name}` ? { ...wish, serial: first.serial } : null;
  } catch (error) {
    if (error instanceof BootwaveError) return null;
    throw error;
  }
}
