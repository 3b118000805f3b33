/** Whether two signatures are those of two people. */
import type { X509Certificate } from 'node:crypto';
import { BootwaveError } from '../../base/error.ts';
import { operatorRefusal, readOperator } from '../../keys/operator.ts';
import type { Role } from '../../keys/operator-roles.ts';
import { type Vote, voter, type Word } from '../../keys/vote.ts';
import type { Registered } from './register.ts';
import { readWish, type Wish } from './request.ts';

/** What is known of operators: their CAs, all that ever were, and every certificate that was given. */
export type Known = { cas: readonly X509Certificate[]; register: readonly Registered[] };

export type Person = {
  name: string;
  role: Role;
  serial: string;
  /** They, and everybody whose certificate theirs goes back to: each of these could be them. */
  behind: ReadonlySet<string>;
};

/**
 * Who cast a vote, if their certificate counted when they did.
 * @throws BootwaveError `OPERATOR_PROOF`, `OPERATOR_UNKNOWN`, `OPERATOR_REVOKED`, and what `readOperator` throws
 */
export function personOf(cast: Vote, word: Word, text: string, { cas, register }: Known): Person {
  const certificate = voter(cast, word, text);
  if (certificate === null)
    throw operatorRefusal('OPERATOR_PROOF', 'a signature under the request does not hold');
  const { name, role, serial } = readOperator(certificate, cas, cast.at);
  const entry = register.find((one) => one.serial === serial);
  if (entry === undefined)
    throw operatorRefusal(
      'OPERATOR_UNKNOWN',
      `the certificate of ${name} is not in the register of operators`,
    );
  if (entry.revoked !== null && entry.revoked.at <= cast.at)
    throw operatorRefusal('OPERATOR_REVOKED', `the certificate of ${name} was revoked before it signed`);
  return { name, role, serial, behind: behind(entry, register) };
}

/** Up to root, who needs no certificate to give one. */
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
 * Two people of the core team said the same: one asked, another approved in time.
 * @returns what they agreed on; null: they did not, whatever the record says
 */
export function agreed(
  text: string,
  ask: Vote,
  approve: Vote,
  known: Known,
): (Wish & { serial: string }) | null {
  const wish = readWish(text);
  if (wish === null || approve.at >= wish.expires || ask.at !== wish.at) return null;
  try {
    const first = personOf(ask, 'ask', text, known);
    const second = personOf(approve, 'approve', text, known);
    checkTwo(first, second);
    const may = [first, second].every(({ role }) => role === 'core' || role === 'admin');
    return may && wish.actor === `operator:${first.name}` ? { ...wish, serial: first.serial } : null;
  } catch (error) {
    if (error instanceof BootwaveError) return null;
    throw error;
  }
}
