/**
 * Operations that need two people. The first person signs operation and input, with every name replaced by what it
 * means; the second signs the same text. The keys stay with them: a caller without a signature gets the text to sign.
 */

import { defined } from '../../base/defined.ts';
import { BootwaveError } from '../../base/error.ts';
import { operatorRefusal, serialOf } from '../../keys/operator.ts';
import type { Vote, Word } from '../../keys/vote.ts';
import type { Identity } from '../operators/judge.ts';
import { knownOperators } from '../operators/known.ts';
import {
  canonical,
  makeWish,
  REQUEST_TIMES,
  readWish,
  type Signed,
  type Wish,
} from '../operators/request.ts';
import { mustBeWhole, type Request, Requests } from '../operators/requests.ts';
import { type Acting, type House, holds, type Operation } from './operation.ts';
import { parse } from './parse.ts';

/** The caller has to sign this text as of `at`, and ask again. */
export class NeedsSignature extends Error {
  readonly word: Word;
  readonly text: string;
  readonly at: number;

  constructor(word: Word, text: string, at: number) {
    super(`to be signed: ${word}`);
    this.word = word;
    this.text = text;
    this.at = at;
  }
}

/** @throws NeedsSignature; BootwaveError `REQUEST_CERTIFICATE`, `REQUEST_SIGNATURE`, and what `Requests.ask` throws */
export async function askSecond(
  { paths, now }: House,
  { fleet, by, identity }: Acting,
  { name }: Operation,
  { input, what }: { input: unknown; what?: string },
  signed: Signed | undefined,
): Promise<Request> {
  mustHaveCertificate(identity);
  const { actor } = by;
  const wanted = input as Record<string, unknown>;
  const requests = new Requests(fleet.redis, await knownOperators(paths));
  const same = await requests.waiting(actor, name, wanted, by.at);
  if (same !== null) return same;
  const vote = signedWish({ now }, { identity, by }, name, { input: wanted, what }, signed);
  return requests.ask(vote.wish, vote.signed);
}

/**
 * What who asks has signed just now, with the key of their certificate.
 * @param input every name in it is what it means
 * @throws NeedsSignature; BootwaveError `REQUEST_SIGNATURE`, `OPERATOR_PROOF`
 */
export function signedWish(
  { now }: Pick<House, 'now'>,
  { identity, by }: Pick<Acting, 'identity' | 'by'>,
  operation: string,
  { input, what }: { input: Record<string, unknown>; what?: string | undefined },
  signed: Signed | undefined,
): { wish: Wish; signed: Signed } {
  const { actor, at } = by;
  if (signed === undefined) {
    const reason = typeof input.reason === 'string' ? input.reason : '';
    throw new NeedsSignature('ask', makeWish(defined({ operation, input, reason, actor, at, what })), at);
  }
  const wish = readWish(signed.text);
  const fits =
    wish !== null &&
    wish.operation === operation &&
    wish.actor === actor &&
    wish.at === signed.vote.at &&
    wish.what === what &&
    wish.expires === wish.at + REQUEST_TIMES.open &&
    canonical(wish.input) === canonical(input);
  if (!fits) throw otherSignature('what was signed is not what is asked for');
  mustBeFresh(identity, signed.vote, now());
  return { wish, signed };
}

/**
 * A second person's decision, and what follows from it.
 * @throws NeedsSignature; BootwaveError as `Requests.approve`, and what the operation throws
 */
export async function approveRequest(
  { paths, now, find }: House,
  context: Acting,
  word: string,
  signed: Signed | undefined,
): Promise<{ request: Request; done: unknown }> {
  const { fleet, identity } = context;
  mustHaveCertificate(identity);
  const requests = new Requests(fleet.redis, await knownOperators(paths));
  const { id, wish, record } = await requests.open(word, context.by.at);
  mustBeWhole(id, word, wish);
  if (signed === undefined) throw new NeedsSignature('approve', record.text, context.by.at);
  if (signed.text !== record.text) throw otherSignature(`what was signed is not request ${id}`);
  mustBeFresh(identity, signed.vote, now());
  const operation = find(wish.operation);
  const input = parse(operation, withoutOld(wish.input));
  if (!holds(operation.fourEyes, input)) throw otherSignature(`'${operation.name}' does not take two people`);
  const effect = await operation.effect?.();
  // The time of the signature is used for everything in this operation.
  const by = { ...context.by, at: signed.vote.at };
  const request = await requests.approve(id, signed.vote, by, (one) => effect?.(one, by, context) ?? {});
  const done = await (await operation.act())(input, { ...context, ...records(context), by, request });
  return { request, done };
}

/** Getters are not copied by a spread. */
const records = ({ fleet, bans }: Acting) => ({ fleet, bans });

/** Break-glass requests once named the certificate; the signature names it as well. */
function withoutOld({ serial: _, ...input }: Record<string, unknown>): Record<string, unknown> {
  return input;
}

/** An operation that needs two people needs certificates: root could give any name. */
function mustHaveCertificate({ certificate }: Identity): void {
  if (certificate !== undefined) return;
  throw new BootwaveError({
    code: 'REQUEST_CERTIFICATE',
    what: 'this takes two people, each with a certificate; being root on this machine does not count as one',
    unchanged: 'nothing was asked or approved',
    next: "give --as FILE; 'bootwave operator add' makes one",
  });
}

/** The signature was made just now, by the one who asks. */
function mustBeFresh({ certificate }: Identity, vote: Vote, now: number): void {
  if (Math.abs(now - vote.at) > REQUEST_TIMES.skew)
    throw otherSignature('the signature was not made just now');
  if (serialOf(vote.certificate) !== certificate?.serial)
    throw operatorRefusal('OPERATOR_PROOF', 'the signature was made by somebody else than the one who asks');
}

function otherSignature(what: string): BootwaveError {
  return new BootwaveError({
    code: 'REQUEST_SIGNATURE',
    what,
    unchanged: 'nothing was asked or approved',
    next: 'ask again',
  });
}
