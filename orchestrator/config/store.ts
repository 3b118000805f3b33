/**
 * Published node configurations. They are kept in Redis, not in a folder, because any orchestrator may deliver them. A
 * version is written once and never changed or removed: a rollback goes back to it.
 */

import type { Redis } from 'ioredis';
import * as z from 'zod';
import { BootwaveError, messageOf } from '../../base/error.ts';
import { SHA256_HEX } from '../../formats/digest.ts';
import { compareVersions } from '../../formats/version.ts';
import {
  digestOf,
  makeDocument,
  type NodeConfiguration,
  readDocument,
} from '../../protocol/configuration/document.ts';
import type { By } from '../fleet/acting.ts';
import { auditLine } from '../fleet/audit/audit.ts';
import { commit } from '../fleet/commit.ts';
import { at } from '../fleet/keys.ts';
import { leaveOut, readStored } from '../fleet/read-stored.ts';

/** The node's error codes for a configuration that it will never accept; any other error is worth another try. */
export const CONFIG_REFUSALS: readonly string[] = [
  'CONFIG_MALFORMED',
  'CONFIG_OVERSIZED',
  'CONFIG_UNSUPPORTED',
  'CONFIG_NOT_APPLIED',
];

const publishedSchema = z.object({
  version: z.string(),
  /** SHA-256 of the document's bytes: orders name it. */
  sha256: z.string().regex(SHA256_HEX),
  /** The bytes, which are UTF-8. */
  document: z.string(),
  author: z.string(),
  /** Milliseconds since the epoch. */
  at: z.number(),
});
export type PublishedConfig = z.infer<typeof publishedSchema>;

/** Characters of a file that is to be published; the document itself is smaller (CONFIG_LIMITS). */
const MOST_TEXT = 1024 * 1024;

/**
 * Publishes a configuration as a person wrote it.
 * @param text JSON
 * @param known digests under which people have published this version on this machine, whatever became of it in Redis
 * @returns what is published now; the same again when this very configuration was published before
 * @throws BootwaveError `CONFIG_MALFORMED` naming the field, `CONFIG_OVERSIZED`, `CONFIG_VERSION_EXISTS`
 */
export async function publishConfig(
  redis: Redis,
  text: string,
  version: string,
  by: By,
  known: readonly string[] = [],
): Promise<PublishedConfig> {
  const document = makeDocument(parse(text), version);
  const body: PublishedConfig = {
    version,
    sha256: digestOf(document),
    document: document.toString('utf8'),
    author: by.actor,
    at: by.at,
  };
  if (known.length > 0 && !known.includes(body.sha256)) throw otherContent(version);
  const done = await commit(redis, {
    records: [
      {
        key: CONFIG_KEYS.config(version),
        expect: null,
        next: { state: 'published', epoch: 1, body: JSON.stringify(body) },
      },
    ],
    ops: [{ op: 'join', key: CONFIG_KEYS.all, value: version }],
    audit: [
      auditLine({
        at: by.at,
        actor: by.actor,
        action: 'publish-config',
        reason: `configuration ${version}`,
        detail: { version, sha256: body.sha256 },
      }),
    ],
  });
  if (done.result === 'done') return body;
  const there = await readConfig(redis, version);
  if (there.sha256 === body.sha256) return there;
  throw otherContent(version);
}

function otherContent(version: string): BootwaveError {
  return new BootwaveError({
    code: 'CONFIG_VERSION_EXISTS',
    what: `configuration ${version} is already published with other content`,
    unchanged: 'the published configuration was not touched',
    next: 'choose a version that was never used: nodes and records know a configuration by its name',
  });
}

/** @throws BootwaveError `CONFIG_UNKNOWN`, `CONFIG_DAMAGED` */
export async function readConfig(redis: Redis, version: string): Promise<PublishedConfig> {
  const body = await redis.hget(CONFIG_KEYS.config(version), 'body');
  if (body === null) {
    throw new BootwaveError({
      code: 'CONFIG_UNKNOWN',
      what: `no configuration of version ${JSON.stringify(version.slice(0, 80))} is published`,
      next: "see 'bootwave config list', or publish it: 'bootwave config publish FILE --version X'",
    });
  }
  const published = readStored(publishedSchema, body);
  if (published !== null && isWhole(published, version)) return published;
  throw new BootwaveError({
    code: 'CONFIG_DAMAGED',
    what: `the record of configuration ${version} does not hold what was published`,
    unchanged: 'nothing was sent to any node',
    next: 'restore the records from a backup, and find out who wrote to them',
  });
}

/** Also the whole record of another version, put under this one's name, is not what was published. */
function isWhole({ version, document, sha256 }: PublishedConfig, asked: string): boolean {
  const bytes = Buffer.from(document, 'utf8');
  if (version !== asked || digestOf(bytes) !== sha256) return false;
  try {
    return readDocument(bytes).version === asked;
  } catch {
    return false;
  }
}

/** All of them, the newest version first. */
export async function listConfigs(redis: Redis): Promise<PublishedConfig[]> {
  const versions = await redis.smembers(CONFIG_KEYS.all);
  const found = await Promise.all(versions.map((version) => readConfig(redis, version).catch(leaveOut)));
  const all = found.filter((one) => one !== null);
  return all.sort((a, b) => compareVersions(b.version, a.version));
}

export function contentOf({ document }: PublishedConfig): NodeConfiguration {
  return readDocument(Buffer.from(document, 'utf8'));
}

function parse(text: string): unknown {
  let why = `is larger than ${MOST_TEXT} characters`;
  if (text.length <= MOST_TEXT) {
    try {
      return JSON.parse(text);
    } catch (cause) {
      why = `is not JSON: ${messageOf(cause)}`;
    }
  }
  throw new BootwaveError({
    code: 'CONFIG_MALFORMED',
    what: `this is not a configuration: it ${why}`,
    unchanged: 'nothing was published',
  });
}

/** Keys of published configurations in Redis. */
export const CONFIG_KEYS = {
  /** Set of versions. */
  all: at('configs'),
  /** Hash with state, epoch and body, as every record; never changes. */
  config: (version: string) => at('config', version),
} as const;
