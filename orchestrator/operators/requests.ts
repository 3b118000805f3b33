/** Requests that wait for a second person. Each change is one compare-and-set that also writes the history. */
import type { Redis } from 'ioredis';
import { BootwaveError, refusal } from '../../base/error.ts';
import type { Vote } from '../../keys/vote.ts';
import type { By } from '../fleet/acting.ts';
import { auditLine } from '../fleet/audit/audit.ts';
import { type Change, commit, type Op } from '../fleet/commit.ts';
import { KEYS } from '../fleet/keys.ts';
import { readStored } from '../fleet/read-stored.ts';
import { checkTwo, type Known, type Person, personOf } from './people.ts';
import {
  canonical,
  ID_DIGITS,
  isNamed,
  type RequestRecord,
  readWish,
  requestId,
  requestSchema,
  type Signed,
  type Standing,
  standingOf,
  type Wish,
} from './request.ts';

export type Request = { id: string; wish: Wish; record: RequestRecord; standing: Standing };

export class Requests {
  readonly #redis: Redis;
  readonly #known: Known;

  constructor(redis: Redis, known: Known) {
    this.#redis = redis;
    this.#known = known;
  }

  /** Newest first. */
  async list(now: number): Promise<Request[]> {
    const ids = await this.#redis.smembers(KEYS.requests);
    const found = (await Promise.all(ids.map((id) => this.#read(id, now)))).filter((one) => one !== null);
    return found.sort((a, b) => b.wish.at - a.wish.at);
  }

  /** A request with the same content that still waits. */
  async waiting(actor: string, operation: string, input: object, now: number): Promise<Request | null> {
    const found = (await this.list(now)).find(
      ({ wish, standing }) =>
        standing === 'pending' &&
        wish.actor === actor &&
        wish.operation === operation &&
        sameButReason(wish.input, input),
    );
    return found ?? null;
  }

  /**
   * Asks, in the name of the signer.
   * @param wish the content of `text`
   * @throws BootwaveError why a certificate is not valid; `REQUEST_CLOSED` when exactly this was asked before
   */
  async ask(wish: Wish, { text, vote }: Signed): Promise<Request> {
    const { actor, at, operation } = wish;
    const id = requestId(text);
    const record: RequestRecord = {
      text,
      state: 'pending',
      epoch: 1,
      ask: vote,
      approve: null,
      closed: null,
    };
    // A person without the right is refused now, and not by the second person.
    personOf(record.ask, 'ask', text, this.#known, at);
    const line = {
      actor,
      at,
      action: 'request',
      reason: `${operation}: ${wish.reason}`,
      detail: { request: id, about: aboutOf(wish) },
    };
    const ops: Op[] = [{ op: 'join', key: KEYS.requests, value: id }];
    await this.#write(id, null, record, { ops, audit: [auditLine(line)] });
    return { id, wish, record, standing: 'pending' };
  }

  /**
   * A second person approves the text that they have read. What `effect` adds is written with that, or not at all.
   * @param word the whole id: what was read is what is signed
   * @throws BootwaveError `REQUEST_UNKNOWN`, `REQUEST_ID`, `REQUEST_CLOSED`, `REQUEST_EXPIRED`, `REQUEST_ONE_PERSON`,
   * and why a certificate is not valid
   */
  async approve(
    word: string,
    approve: Vote,
    by: By,
    effect: (request: Request) => Pick<Change, 'ops' | 'audit'>,
  ): Promise<Request> {
    const { id, wish, record } = await this.open(word, by.at);
    mustBeWhole(id, word, wish);
    const { text, ask } = record;
    const first = this.#stillCounts(id, record, by.at);
    const second = personOf(approve, 'approve', text, this.#known, by.at);
    if (ask.at !== wish.at) throw closed(id, 'it was signed at another time than it says');
    checkTwo(first, second);
    const reason = `${wish.operation} of ${wish.actor} approved`;
    const next = { ...decided(record, 'approved', reason, by), approve };
    const request: Request = { id, wish, record: next, standing: standingOf(next, wish, by.at) };
    const { ops = [], audit = [] } = effect(request);
    const line = { ...by, action: 'approve-request', reason, detail: { request: id, about: aboutOf(wish) } };
    await this.#write(id, record, next, { ops, audit: [auditLine(line), ...audit] });
    return request;
  }

  /** If the asking certificate was revoked meanwhile, the request is void. */
  #stillCounts(id: string, { ask, text }: RequestRecord, now: number): Person {
    try {
      return personOf(ask, 'ask', text, this.#known, now);
    } catch (error) {
      if (!(error instanceof BootwaveError)) throw error;
      throw closed(id, `whoever asked no longer counts: ${error.what}`);
    }
  }

  /**
   * Anybody of the core team refuses it; this also ends a break-glass that is in force. The history has it by the denial in the
   * log of decisions, which has to be written before. @throws as `approve`
   */
  async deny(word: string, reason: string, by: By): Promise<Request> {
    const { id, wish, record } = await this.open(word, by.at, true);
    const next = decided(record, 'denied', reason, by);
    await this.#write(id, record, next, {});
    return { id, wish, record: next, standing: 'denied' };
  }

  /** One that can be decided. @throws BootwaveError `REQUEST_UNKNOWN`, `REQUEST_CLOSED`, `REQUEST_EXPIRED` */
  async open(word: string, now: number, inForce = false): Promise<Request> {
    const fits = (await this.list(now)).filter(({ id }) => word !== '' && id.startsWith(word.toLowerCase()));
    const [request] = fits;
    if (request === undefined || fits.length > 1) throw unknown(word, fits.length);
    const { id, standing, record } = request;
    if (standing === 'pending' || (inForce && standing === 'in force')) return request;
    if (standing !== 'expired') throw closed(id, `it is ${standing} (${record.closed?.actor ?? ''})`);
    throw refusal(
      'REQUEST_EXPIRED',
      `nobody approved request ${id} in time`,
      'if it is still wanted, ask again',
    );
  }

  async #read(id: string, now: number): Promise<Request | null> {
    const body = await this.#redis.hget(KEYS.request(id), 'body');
    const record = body === null ? null : readStored(requestSchema, body);
    const wish = record === null ? null : readWish(record.text);
    if (record === null || wish === null || requestId(record.text) !== id) return null;
    const standing = this.#known.denied.has(id) ? 'denied' : standingOf(record, wish, now);
    return { id, wish, record, standing };
  }

  async #write(
    id: string,
    from: RequestRecord | null,
    to: RequestRecord,
    more: Omit<Change, 'records'>,
  ): Promise<void> {
    const expect = from === null ? null : { state: from.state, epoch: from.epoch };
    const next = { state: to.state, epoch: to.epoch, body: JSON.stringify(to) };
    const done = await commit(this.#redis, { records: [{ key: KEYS.request(id), expect, next }], ...more });
    if (done.result !== 'done') throw closed(id, 'somebody else was faster');
  }
}

function decided(record: RequestRecord, state: 'approved' | 'denied', reason: string, by: By): RequestRecord {
  return { ...record, state, epoch: record.epoch + 1, closed: { actor: by.actor, at: by.at, reason } };
}

/** For the history; the whole text is in the request. */
const aboutOf = ({ input }: Wish): string => canonical(input).slice(0, 500);

/** Another reason does not make it another request. */
function sameButReason(one: object, other: object): boolean {
  return canonical({ ...one, reason: '' }) === canonical({ ...other, reason: '' });
}

/** Before anybody signs: what they read is what they sign. @throws BootwaveError `REQUEST_ID`, `REQUEST_CLOSED` */
export function mustBeWhole(id: string, word: string, wish: Wish): void {
  if (word.toLowerCase() !== id)
    throw new BootwaveError({
      code: 'REQUEST_ID',
      what: `'${word.slice(0, 64)}' is only the beginning of an id, and somebody may have made a request that begins so`,
      unchanged: 'nothing was approved',
      next: `take all ${ID_DIGITS} digits from the person who asked, read 'bootwave request show ID', then approve that id`,
    });
  if (!isNamed(wish)) throw closed(id, 'it does not say in full what it is about; it has to be asked again');
}

function closed(id: string, why: string): BootwaveError {
  return refusal(
    'REQUEST_CLOSED',
    `request ${id} cannot be decided: ${why}`,
    "'bootwave request list --all' shows what became of it",
  );
}

function unknown(word: string, fits: number): BootwaveError {
  return refusal(
    'REQUEST_UNKNOWN',
    fits === 0 ? `there is no request '${word}'` : `'${word}' fits ${fits} requests`,
    "'bootwave request list --all' shows all of them",
  );
}
