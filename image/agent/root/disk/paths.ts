/** Which of the kernel's names are one disk: two cables to it, two controllers (multipath). Pure. */
import { isPlaceholder } from '../../../../formats/identifiers.ts';
import type { DiskFacts } from './layout.ts';

/**
 * What names a disk whatever the kernel calls it: its World Wide Name, UUID or EUI-64 (NVM Express Base 2.0, 4.5.1); else its
 * model and serial number. Null where it has neither: the kernel's name is all there is.
 */
export function identityOf({ wwn, model, serial, size }: DiskFacts): string | null {
  const name = wwn.toLowerCase().replace(/^(?:0x|naa\.|eui\.|uuid\.)/, '');
  // Cheap disks and bridges all report 0x0000000000000000 or 0x5000000000000000.
  if (!isPlaceholder(name) && !/^.?0+$/.test(name)) return `wwn ${name} ${size}`;
  return isPlaceholder(serial) ? null : `serial ${model} ${serial} ${size}`;
}

/** Each disk once, by the first path over which it can be read. */
export function onePerDisk(seen: readonly DiskFacts[]): DiskFacts[] {
  const groups = new Map<string, DiskFacts[]>();
  for (const disk of seen.toSorted((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }))) {
    const key = identityOf(disk) ?? `path ${disk.path}`;
    groups.set(key, [...(groups.get(key) ?? []), disk]);
  }
  return [...groups].flatMap(([key, paths]) =>
    isOne(key, paths) ? [joined(paths)] : paths.map((path) => ({ ...path })),
  );
}

/**
 * What all paths of one disk share: one serial number. Bridges with two bays give the same number to both disks: then
 * the content decides.
 */
function isOne(key: string, paths: readonly DiskFacts[]): boolean {
  const serials = new Set(paths.map(({ serial }) => serial).filter((serial) => serial !== ''));
  if (serials.size > 1) return false;
  return key.startsWith('wwn ') || (paths.every(({ odd }) => odd === null) && haveOneContent(paths));
}

function joined(paths: readonly DiskFacts[]): DiskFacts {
  const readable = paths.filter(({ odd }) => odd === null);
  const best = readable.find(({ readOnly }) => !readOnly) ?? readable[0] ?? paths[0]!;
  const names = readable.map(({ name }) => name).join(' and ');
  return {
    ...best,
    ...(haveOneContent(readable)
      ? {}
      : { odd: { kind: 'unread', reason: `it shows different contents as ${names}` } }),
    otherPaths: paths.filter((path) => path !== best).map(({ path }) => path),
    inUse: paths.some(({ inUse }) => inUse),
  };
}

function haveOneContent(disks: readonly DiskFacts[]): boolean {
  const contents = disks.map(({ signatures, partitions }) =>
    JSON.stringify([signatures, partitions.map(({ path: _, ...content }) => content)]),
  );
  return new Set(contents).size <= 1;
}
