/**
 * A rehearsal: a data directory that was made for simulated nodes and nothing else. `lab sim --init` makes it, with keys
 * of its own and a file that says so. No machine boots from it, and no other directory takes simulated nodes.
 */

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isIPv4 } from 'node:net';
import { join } from 'node:path';
import { z } from 'zod';
import { BootwaveError } from '../../base/error.ts';
import type { DataPaths } from '../../base/paths.ts';
import { SHA256_HEX } from '../../formats/digest.ts';
import { keyLayout } from '../../keys/layout.ts';

const markerSchema = z.strictObject({
  /** Of the sshd of every simulated node. */
  port: z.int().min(1024).max(65_535),
  /** SHA-256, hex, of the public keys that were made with it (`fleetDigest`). */
  fleet: z.string().regex(SHA256_HEX),
});

export type Rehearsal = z.infer<typeof markerSchema>;

export const markerFile = ({ root }: Pick<DataPaths, 'root'>): string => join(root, 'rehearsal.json');

/** Which fleet these keys belong to: its root certificate, and the key that its orchestrator shows to nodes. */
export async function fleetDigest(keys: string): Promise<string> {
  const { ca, ssh } = keyLayout(keys);
  const hash = createHash('sha256');
  for (const file of [ca.root.certificate, ssh.pub]) hash.update(await readFile(file)).update('\0');
  return hash.digest('hex');
}

/**
 * @returns null: the data directory is not a rehearsal
 * @throws BootwaveError `REHEARSAL_MARKER`; `REHEARSAL_KEYS`: the file was copied to another fleet, or keys to it
 */
export async function rehearsalOf(paths: Pick<DataPaths, 'root' | 'keys'>): Promise<Rehearsal | null> {
  const file = markerFile(paths);
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw unreadable(file, error);
  }
  let marker: Rehearsal;
  try {
    marker = markerSchema.parse(JSON.parse(text));
  } catch (error) {
    throw unreadable(file, error);
  }
  const fleet = await fleetDigest(paths.keys).catch(() => null);
  if (fleet === marker.fleet) return marker;
  throw new BootwaveError({
    code: 'REHEARSAL_KEYS',
    what: `${file} was not made with the keys in ${paths.keys}`,
    unchanged: 'nothing was started',
    next: `if this is a real fleet, remove ${file}; a rehearsal is made anew by 'bootwave lab sim --init'`,
  });
}

function unreadable(file: string, cause: unknown): BootwaveError {
  return new BootwaveError({
    code: 'REHEARSAL_MARKER',
    what: `${file} cannot be read as the file of a rehearsal`,
    unchanged: 'nothing was started',
    next: `if this is a real fleet, remove it; a rehearsal is made anew by 'bootwave lab sim --init'`,
    cause,
  });
}

const LOOPBACK = 'lo';

/**
 * Real machines never boot from a rehearsal: on loopback there is none.
 * @throws BootwaveError `REHEARSAL_INTERFACE`
 */
export function checkServesNobody(options: { interface?: string; config?: string }): void {
  const { interface: name = LOOPBACK, config } = options;
  if (name === LOOPBACK && config === undefined) return;
  throw new BootwaveError({
    code: 'REHEARSAL_INTERFACE',
    what: `this data directory is a rehearsal: it serves no network interface but ${LOOPBACK}`,
    unchanged: 'nothing was started',
    next: 'leave out --interface and --config, or name the data directory of a real fleet',
  });
}

/** @throws BootwaveError `REHEARSAL_REDIS`: a rehearsal keeps its records in its own Redis, never in that of a fleet */
export async function checkOwnRedis(paths: Pick<DataPaths, 'root' | 'keys'>): Promise<void> {
  if ((await rehearsalOf(paths)) === null) return;
  throw new BootwaveError({
    code: 'REHEARSAL_REDIS',
    what: 'this data directory is a rehearsal, and BOOTWAVE_REDIS_URL names the Redis of a fleet',
    unchanged: 'no connection was made',
    next: 'run it without BOOTWAVE_REDIS_URL',
  });
}

/** What a rehearsal may dial: loopback, at the port of its simulated nodes, whatever its records say. */
export function loopbackOnly<T extends { host: string }>(
  resolve: (id: string) => Promise<T>,
): (id: string) => Promise<T> {
  return async (id) => {
    const target = await resolve(id);
    if (isIPv4(target.host) && target.host.startsWith('127.')) return target;
    throw new BootwaveError({
      code: 'REHEARSAL_ADDRESS',
      what: `node ${id} is not on loopback, and this is a rehearsal`,
      unchanged: 'no connection was made',
    });
  };
}
