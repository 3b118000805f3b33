import { type CpioEntry, cpio } from './cpio.ts';

export type SystemParts = {
  init: Uint8Array;
  busybox: Uint8Array;
  /** In the order in which they must be loaded. */
  modules: readonly { name: string; data: Uint8Array }[];
  /** Name without `.squashfs` -> content. */
  squashes: ReadonlyMap<string, Uint8Array>;
};

const folder = (path: string): CpioEntry => ({ path, mode: 0o40755 });

/** The first archive: the same for every fleet and version. Not compressed, because what is large in it already is. */
export function systemArchive(parts: SystemParts): Buffer {
  const modules = parts.modules.map(({ name, data }, i) => ({
    path: `modules/${String(i).padStart(2, '0')}-${name}.ko`,
    mode: 0o100644,
    data,
  }));
  const squashes = [...parts.squashes].map(([name, data]) => ({
    path: `${name}.squashfs`,
    mode: 0o100444,
    data,
  }));
  return cpio([
    ...['bin', 'dev', 'proc', 'root', 'modules'].map(folder),
    { path: 'init', mode: 0o100755, data: parts.init },
    { path: 'bin/busybox', mode: 0o100755, data: parts.busybox },
    ...modules,
    ...squashes,
  ]);
}

/** The second archive: what makes it this fleet's image of this version. */
export function fleetArchive(files: ReadonlyMap<string, Uint8Array>, clockEpoch: number): Buffer {
  const entries = [...files].sort(([a], [b]) => (a < b ? -1 : 1));
  return cpio([
    folder('fleet'),
    ...entries.map(([name, data]) => ({ path: `fleet/${name}`, mode: 0o100444, data })),
    // systemd never lets the clock stand before this file's time (systemd(1)): certificates work with a dead battery.
    { path: 'fleet/clock-epoch', mode: 0o100444, mtime: clockEpoch },
  ]);
}

/** os-release(5). systemd-boot names and sorts entries by IMAGE_ID and IMAGE_VERSION. */
export function osRelease(version: string): string {
  return [
    'NAME="Bootwave"',
    'ID=bootwave',
    'ID_LIKE=debian',
    `PRETTY_NAME="Bootwave ${version}"`,
    `VERSION_ID="${version}"`,
    'IMAGE_ID="bootwave"',
    `IMAGE_VERSION="${version}"`,
    '',
  ].join('\n');
}
