/**
 * Whoever owns Redis can add a line to the history, with a right hash. So a server tags what it writes with a key that only
 * servers have (HMAC, RFC 2104), and seals no line of others.
 */
import { createHash, createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Redis } from 'ioredis';
import { heldKeys } from '../../../keys/generations.ts';

/** Bytes of a tag; RFC 2104 5: at least half of the hash. */
const TAG_BYTES = 16;
/** `,"tag":"<key>.<writer>.<number>.<tag>"}` at the end of a line. */
const TAGGED = /^(.*),"tag":"([0-9a-f]{8})\.([\w-]{8})\.([0-9]{1,15})\.([\w-]{22})"\}$/s;
/** Commands that are sent again may overtake one another, by so many. */
const WINDOW = 4096;

export type ServerKey = { id: string; secret: Buffer };

/** For lines of the history. @param keys folder */
export const historyKeys = (keys: string): Promise<ServerKey[]> => serverKeys(keys, 'bootwave history');

/**
 * Secrets made of the keys of all servers CAs whose private key is here, oldest first.
 * @param keys folder
 * @param purpose for each another secret
 */
export async function serverKeys(keys: string, purpose: string): Promise<ServerKey[]> {
  return (await heldKeys(keys, 'servers')).map((key) => {
    const der = key.export({ type: 'pkcs8', format: 'der' });
    const secret = Buffer.from(hkdfSync('sha256', der, '', purpose, 32));
    return { id: createHash('sha256').update(secret).digest('hex').slice(0, 8), secret };
  });
}

/** What one connection adds to its lines: which key, whose connection, its how manyeth line, and the tag over all of it. */
class LineTagger {
  readonly #key: ServerKey;
  readonly #writer = randomBytes(6).toString('base64url');
  #number = 0;

  constructor(key: ServerKey) {
    this.#key = key;
  }

  /** @param text a JSON object with at least one field */
  tag(text: string): string {
    this.#number += 1;
    const about = `${this.#key.id}.${this.#writer}.${this.#number}`;
    return `${text.slice(0, -1)},"tag":"${about}.${tagOf(this.#key, about, text.slice(0, -1))}"}`;
  }
}

/** Walks lines in their order. */
export class TagCheck {
  readonly #keys: ReadonlyMap<string, ServerKey>;
  readonly #seen = new Map<string, { newest: number; lately: Set<number> }>();

  constructor(keys: readonly ServerKey[]) {
    this.#keys = new Map(keys.map((key) => [key.id, key]));
  }

  /** @returns what is wrong with this line; null: a server of this fleet wrote it, and once */
  next(line: string): string | null {
    const [, text, id, writer, number, tag] = TAGGED.exec(line) ?? [];
    if (text === undefined || id === undefined || writer === undefined || tag === undefined)
      return 'has no tag';
    const key = this.#keys.get(id);
    if (key === undefined) return 'is tagged with a key that is not here';
    const right = Buffer.from(tagOf(key, `${id}.${writer}.${number}`, text));
    const given = Buffer.from(tag);
    if (right.length !== given.length || !timingSafeEqual(right, given)) return 'has a wrong tag';
    return this.#isFirst(`${id}.${writer}`, Number(number)) ? null : 'stands there twice';
  }

  #isFirst(writer: string, number: number): boolean {
    const seen = this.#seen.get(writer) ?? { newest: 0, lately: new Set<number>() };
    this.#seen.set(writer, seen);
    if (number <= seen.newest - WINDOW || seen.lately.has(number)) return false;
    seen.lately.add(number);
    seen.newest = Math.max(seen.newest, number);
    if (seen.lately.size > 2 * WINDOW)
      for (const old of seen.lately) if (old <= seen.newest - WINDOW) seen.lately.delete(old);
    return true;
  }
}

/** @param about what the text belongs to: a tag for one thing is not valid for another */
export function tagOf({ secret }: ServerKey, about: string, text: string): string {
  return createHmac('sha256', secret)
    .update(`${about}\n${text}`)
    .digest()
    .subarray(0, TAG_BYTES)
    .toString('base64url');
}

const taggers = new WeakMap<Redis, LineTagger>();

/** What is written on this connection from now on carries tags; without a key it does not. @param keys folder */
export async function tagHistory(redis: Redis, keys: string): Promise<void> {
  const [oldest] = await historyKeys(keys);
  if (oldest !== undefined) taggers.set(redis, new LineTagger(oldest));
}

/** Undefined: what this connection writes carries no tags. */
export const taggerOf = (redis: Redis): LineTagger | undefined => taggers.get(redis);
