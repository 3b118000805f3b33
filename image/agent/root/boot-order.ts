/**
 * What the firmware starts first. A node that is ordered to run from its disk starts from it, without waiting for a
 * network that may be down; a node that is ordered to boot from the network tries that first. It is the firmware's own
 * order (UEFI 2.10, 3.1.2), as efibootmgr(8) changes it; Secure Boot and attestation judge what starts, whatever comes
 * first.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError, messageOf } from '../../../base/error.ts';
import {
  decodeLoadOption,
  decodeOrder,
  type EspPlace,
  encodeLoadOption,
  encodeOrder,
  type LoadOption,
} from '../../../formats/efi/load-option.ts';
import type { Order } from '../../../protocol/order.ts';
import { SYSTEMD_LOADER } from './disk/install.ts';
import { GLOBAL, readVariable, writeVariable } from './efi-variable.ts';

/** The name of our entry in the firmware's menu; we recognise our entry by it. */
const ENTRY = 'Bootwave';

/** NON_VOLATILE | BOOTSERVICE_ACCESS | RUNTIME_ACCESS (UEFI 2.10, 8.2). */
const ATTRIBUTES = Buffer.from([7, 0, 0, 0]);

type Entries = ReadonlyMap<number, LoadOption>;

/** Pure: which of our entries to use; the lowest free number if there is none. */
function ownNumber(entries: Entries): number {
  for (const [number, { description, isNetwork }] of entries)
    if (description === ENTRY && !isNetwork) return number;
  let free = 0;
  while (entries.has(free)) free += 1;
  return free;
}

/**
 * Pure: the order in which `mode` has the machine start. Other entries keep their order.
 * @param own number of our entry; null: there is none
 */
export function orderFor(
  mode: Order['mode'],
  order: readonly number[],
  entries: Entries,
  own: number | null,
): number[] {
  const others = order.filter((number, i) => number !== own && order.indexOf(number) === i);
  if (mode === 'installed') return own === null ? others : [own, ...others];
  const isNetwork = (number: number) => entries.get(number)?.isNetwork === true;
  return [
    ...others.filter(isNetwork),
    ...others.filter((number) => !isNetwork(number)),
    ...(own === null ? [] : [own]),
  ];
}

export type BootOrderPlaces = {
  efivars: string;
  /** File with the place of the installed ESP, see `noteEsp`; absent: no disk is installed. */
  esp: string;
  /** For tests. */
  write?: typeof writeVariable;
};

/**
 * Writes only changes: firmware keeps its variables in flash that wears out.
 * @returns whether something was written; false also on a machine whose firmware has no boot order (BIOS)
 * @throws BootwaveError `BOOT_ORDER_REFUSED`
 */
export async function setBootOrder(mode: Order['mode'], places: BootOrderPlaces): Promise<boolean> {
  const { efivars, write = writeVariable } = places;
  const path = (name: string) => join(efivars, `${name}-${GLOBAL}`);
  const bytes = await readVariable(path('BootOrder'));
  if (bytes === null) return false;
  const entries = await readEntries(efivars);
  const number = ownNumber(entries);
  const put = async (name: string, content: Buffer): Promise<boolean> => {
    if ((await readVariable(path(name)))?.equals(content) === true) return false;
    await write(path(name), Buffer.concat([ATTRIBUTES, content])).catch((cause) => {
      throw refused(name, cause);
    });
    return true;
  };
  const esp = await readEsp(places.esp);
  let changed = false;
  // The entry is written first: firmware would correct an order that names a missing entry, in its own way.
  if (mode === 'installed' && esp !== null)
    changed = await put(nameOf(number), encodeLoadOption(ENTRY, esp, SYSTEMD_LOADER));
  const own = changed || entries.has(number) ? number : null;
  return (await put('BootOrder', encodeOrder(orderFor(mode, decodeOrder(bytes), entries, own)))) || changed;
}

const nameOf = (number: number) => `Boot${number.toString(16).toUpperCase().padStart(4, '0')}`;

async function readEntries(efivars: string): Promise<Entries> {
  const entries = new Map<number, LoadOption>();
  for (const file of (await readdir(efivars)).sort()) {
    const [, digits] = /^Boot([0-9A-F]{4})-(.*)$/.exec(file) ?? [];
    if (digits === undefined || !file.endsWith(GLOBAL)) continue;
    const bytes = await readVariable(join(efivars, file));
    // An entry that cannot be parsed still has its number.
    const option = bytes === null ? null : decodeLoadOption(bytes);
    entries.set(
      Number.parseInt(digits, 16),
      option ?? { active: false, description: '', isNetwork: false, esp: null },
    );
  }
  return entries;
}

async function readEsp(file: string): Promise<EspPlace | null> {
  const text = await readFile(file, 'utf8').catch(() => null);
  return text === null ? null : (JSON.parse(text) as EspPlace);
}

function refused(name: string, cause: unknown): BootwaveError {
  return new BootwaveError({
    code: 'BOOT_ORDER_REFUSED',
    what: `the firmware refused ${name} (${(cause as NodeJS.ErrnoException).code ?? messageOf(cause)})`,
    unchanged: 'it starts what it started before, in the same order',
    next: 'set the order in the setup screens of the firmware',
    cause,
  });
}
