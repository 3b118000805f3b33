/**
 * Stops all programs of an instance where they stand: the kernel's freezer (cgroup-v2, `cgroup.freeze`), written to by
 * systemd-tmpfiles, because root's part here may write to no cgroup. Not `systemctl freeze`: that wants a D-Bus daemon, and an image has
 * none.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { instanceCgroup } from '../../../../protocol/agent/units.ts';

export type FreezerPlaces = {
  /** `/sys/fs/cgroup` */
  cgroups: string;
};

/** Milliseconds that its programs have to stop, or to go on. */
const PATIENCE = 5_000;

/** For tmpfiles.d(5): what is not there is not written. @param name of the instance */
export function freezerText(name: string, isFrozen: boolean, { cgroups }: FreezerPlaces): string {
  const file = join(cgroups, instanceCgroup(name), 'cgroup.freeze');
  // Once for the line, and once for the pattern that a path is here.
  return `w ${file.replaceAll('\\', '\\\\\\\\')} - - - - ${isFrozen ? 1 : 0}\n`;
}

/** Whether any of its programs goes on; null: there is none. */
export async function runsOn(name: string, { cgroups }: FreezerPlaces): Promise<boolean | null> {
  const text = await readFile(join(cgroups, instanceCgroup(name), 'cgroup.events'), 'utf8').catch(() => '');
  return /^populated 1$/m.test(text) ? !/^frozen 1$/m.test(text) : null;
}

/** @returns false: it is not so after some seconds */
export async function untilSo(name: string, isFrozen: boolean, places: FreezerPlaces): Promise<boolean> {
  for (const end = performance.now() + PATIENCE; ; await sleep(50)) {
    const runs = await runsOn(name, places);
    if (runs === null || runs === !isFrozen) return true;
    if (performance.now() > end) return false;
  }
}
