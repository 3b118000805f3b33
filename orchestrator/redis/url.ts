import type { RedisOptions } from 'ioredis';
import { BootwaveError } from '../../base/error.ts';

/** The Redis of the user's own; empty: the embedded one. */
export const externalUrl = (): string => process.env.BOOTWAVE_REDIS_URL ?? '';

/** The port that Sentinels listen on where none is named. */
const SENTINEL_PORT = 26_379;

/** scheme, user and password, hosts, database, options, name of the master */
const SENTINEL_URL =
  /^(rediss?)-sentinel:\/\/(?:([^@/?#]*)@)?([^@/?#]+)(?:\/(\d{1,5})?)?(?:\?([^#]*))?#([^#]+)$/i;
const HOST = /^(?:\[([0-9a-f:.]+)\]|([^:[\]\s]+))(?::(\d{1,5}))?$/i;
const IS_SENTINEL = /^rediss?-sentinel:/i;

export type SentinelOptions = Pick<
  RedisOptions,
  | 'sentinels'
  | 'name'
  | 'username'
  | 'password'
  | 'db'
  | 'sentinelUsername'
  | 'sentinelPassword'
  | 'tls'
  | 'sentinelTLS'
  | 'enableTLSForSentinelMode'
  | 'failoverDetector'
>;

/**
 * What `BOOTWAVE_REDIS_URL` says. Beside the URLs of ioredis (`redis://`, `rediss://`, the path of a socket) it may name
 * the Sentinels of a replicated Redis, as the Lettuce client writes them:
 * `redis-sentinel://[[user]:password@]host[:port][,host[:port]]...[/database][?sentinelPassword=...]#master`.
 * `rediss-sentinel` uses TLS to Redis and to its Sentinels.
 * @throws BootwaveError `REDIS_URL`, which does not repeat the URL: it may hold a password
 */
export function redisOptionsOf(url: string): string | SentinelOptions {
  if (!IS_SENTINEL.test(url)) return url;
  const [, scheme = '', login, hosts = '', db, query = '', name = ''] = SENTINEL_URL.exec(url) ?? [];
  if (hosts === '') throw malformed('it is not redis-sentinel://host[:port],.../database#master');
  const sentinels = hosts.split(',').map((text) => {
    const [, v6, plain, port] = HOST.exec(text) ?? [];
    const host = v6 ?? plain;
    const number = Number(port ?? SENTINEL_PORT);
    if (host === undefined || number < 1 || number > 65_535)
      throw malformed('one of its Sentinels is not host[:port]');
    return { host, port: number };
  });
  const options = new URLSearchParams(query);
  for (const key of options.keys()) {
    if (key !== 'sentinelPassword' && key !== 'sentinelUsername')
      throw malformed('its options are sentinelUsername and sentinelPassword');
  }
  const sentinelUsername = options.get('sentinelUsername');
  const sentinelPassword = options.get('sentinelPassword');
  const isTls = scheme.toLowerCase() === 'rediss';
  return {
    sentinels,
    name: decoded(name),
    ...loginOf(login),
    ...(db === undefined ? {} : { db: Number(db) }),
    ...(sentinelUsername === null ? {} : { sentinelUsername }),
    ...(sentinelPassword === null ? {} : { sentinelPassword }),
    ...(isTls ? { tls: {}, sentinelTLS: {}, enableTLSForSentinelMode: true } : {}),
    // A master that was cut off from its replicas still answers, and what it acknowledges is lost: leave it as soon as
    // the Sentinels name another.
    failoverDetector: true,
  };
}

function loginOf(login: string | undefined): Pick<RedisOptions, 'username' | 'password'> {
  if (login === undefined || login === '') return {};
  const colon = login.indexOf(':');
  const password = decoded(login.slice(colon + 1));
  const user = colon < 1 ? '' : decoded(login.slice(0, colon));
  return user === '' ? { password } : { username: user, password };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw malformed('a % in it is not followed by two hexadecimal digits');
  }
}

function malformed(why: string): BootwaveError {
  return new BootwaveError({
    code: 'REDIS_URL',
    what: `BOOTWAVE_REDIS_URL cannot be read: ${why}`,
    unchanged: 'nothing was written',
    next: 'docs/install.md, "Another Redis", shows how it is written',
  });
}
