/** What each running server has loaded, as it reports itself: no step is taken before all servers can follow. */
import { hostname } from 'node:os';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { aborted } from '../../base/wait.ts';
import { KEYS } from '../fleet/keys.ts';

const reportSchema = z.object({
  /** `host:pid`. */
  server: z.string(),
  /** Milliseconds since the epoch. */
  at: z.number(),
  /** Ids of the CAs that it takes and, where they sign, signs with. */
  loaded: z.array(z.string()),
  /** Id of the servers CA that signed the certificate it presents. */
  shows: z.string(),
});
export type ServerReport = z.infer<typeof reportSchema>;

/** Milliseconds. */
const REPORTS = {
  every: 2000,
  /** A server that was silent for this long does not run any more; it loads everything when it starts. */
  silence: 60_000,
} as const;

/** The servers that run, as far as is known. */
export async function runningServers(redis: Redis, now: number): Promise<ServerReport[]> {
  const all = Object.values(await redis.hgetall(KEYS.servers)).map((text) =>
    reportSchema.parse(JSON.parse(text)),
  );
  return all.filter(({ at }) => now - at < REPORTS.silence);
}

/**
 * @param listens called with each report and at the end: see fleet/listening.ts
 * @returns tells at once, besides every two seconds until the signal fires; then this server is no longer named
 */
export function reportServer(
  redis: Redis,
  look: () => Pick<ServerReport, 'loaded' | 'shows'>,
  signal: AbortSignal,
  listens: (at: number, ends: boolean) => Promise<void> = async () => {},
): { tell: () => Promise<void>; done: Promise<void> } {
  const server = `${hostname()}:${process.pid}`;
  const tell = async () => {
    if (signal.aborted) return;
    const report: ServerReport = { server, at: Date.now(), ...look() };
    await Promise.all([redis.hset(KEYS.servers, server, JSON.stringify(report)), listens(report.at, false)]);
  };
  const quietly = () => void tell().catch(() => {});
  quietly();
  const timer = setInterval(quietly, REPORTS.every);
  const done = aborted(signal).then(async () => {
    clearInterval(timer);
    // Redis may be gone before us.
    await Promise.all([redis.hdel(KEYS.servers, server), listens(Date.now(), true)]).catch(() => {});
  });
  return { tell, done };
}
