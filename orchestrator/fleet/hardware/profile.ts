/** What the machines of one model are made of, and in what a machine falls short of it. Pure. */
import { z } from 'zod';
import type { Inventory } from '../../../protocol/enrolment/inventory.ts';

/** Disks, and network interfaces, of one machine that a profile can ask for. */
const MOST_PARTS = 256;

const text = z.string().max(128);
const number = z.int().min(1).max(MOST_PARTS);
const few = (groups: readonly { count: number }[]): boolean =>
  groups.reduce((sum, { count }) => sum + count, 0) <= MOST_PARTS;

export const expectsSchema = z.strictObject({
  /** At least so many threads; `model` exactly. */
  cpu: z.strictObject({ model: text.optional(), threads: z.int().min(1).max(65_536).optional() }).optional(),
  /** Bytes that the kernel finds, which is less than what is built in. */
  memory: z.int().min(1).optional(),
  /** `size` in bytes, of each of `count` disks. */
  disks: z
    .array(z.strictObject({ count: number, size: z.int().min(1), rotational: z.boolean().optional() }))
    .refine(few, `more than ${MOST_PARTS} disks`)
    .optional(),
  /** `speed` in Mb/s, of links that are up. */
  nics: z
    .array(z.strictObject({ count: number, driver: text.optional(), speed: z.int().min(1).optional() }))
    .refine(few, `more than ${MOST_PARTS} network interfaces`)
    .optional(),
  firmware: z
    .strictObject({ kind: z.enum(['uefi', 'bios']).optional(), versions: z.array(text).max(64).optional() })
    .optional(),
  tpm: z.boolean().optional(),
});
export type Expects = z.infer<typeof expectsSchema>;

export const profileSchema = z.object({
  model: z.string().max(257),
  /** Null: of every site that has none of its own for this model. */
  site: z.string().nullable(),
  /** `hold`: a machine that falls short takes no new work; `report`: it is only shown. */
  policy: z.enum(['hold', 'report']),
  expects: expectsSchema,
});
export type Profile = z.infer<typeof profileSchema>;

/**
 * What may be missing of a number: kernels reserve some memory, and makers of disks of one class differ a little. The smallest
 * module of a machine with 32 slots is 3 % of its memory.
 */
const SLACK = 0.98;

/** What a good machine has is what its model is to have. */
export function learnt({ cpu, memory, disks, nics, firmware, tpm }: Inventory): Expects {
  const sizes = Map.groupBy(disks.filter(isFixed), ({ size, rotational }) => `${size} ${rotational}`);
  // A link that is down has no speed, and asks for none.
  const links = Map.groupBy(nics, ({ driver, speed }) => `${driver} ${speed}`);
  return {
    cpu: { model: cpu.model, threads: cpu.threads },
    memory,
    disks: [...sizes.values()].map((those) => ({
      count: those.length,
      size: those[0]!.size,
      rotational: those[0]!.rotational,
    })),
    nics: [...links.values()].map((those) => {
      const { driver, speed } = those[0]!;
      return { count: those.length, driver, ...(speed !== null && speed > 0 && { speed }) };
    }),
    firmware: { kind: firmware.kind, versions: [firmware.version] },
    tpm: tpm !== null,
  };
}

/** Card readers and empty slots show disks without a size. */
const isFixed = ({ size }: Inventory['disks'][number]): boolean => size > 0;

/** In what this machine falls short; more than is asked for is no fault. Each line can stand alone before a person. */
export function shortfalls({ cpu, memory, disks, nics, firmware, tpm }: Expects, has: Inventory): string[] {
  const found: string[] = [];
  if (cpu?.model !== undefined && cpu.model !== has.cpu.model)
    found.push(`its CPU is ${has.cpu.model || 'unknown'}, not ${cpu.model}`);
  if (cpu?.threads !== undefined && has.cpu.threads < cpu.threads)
    found.push(`it has ${has.cpu.threads} of ${cpu.threads} CPU threads`);
  if (memory !== undefined && has.memory < memory * SLACK)
    found.push(`it has ${sizeText(has.memory)} of ${sizeText(memory)} of memory`);
  found.push(...lacking(disks ?? [], has.disks.filter(isFixed), fitsDisk, diskText, 'disk'));
  found.push(...lacking(nics ?? [], has.nics, fitsNic, nicText, 'network interface'));
  if (firmware?.kind !== undefined && firmware.kind !== has.firmware.kind)
    found.push(`it boots by ${has.firmware.kind}, not by ${firmware.kind}`);
  const { versions } = firmware ?? {};
  if (versions !== undefined && !versions.includes(has.firmware.version))
    found.push(`its firmware is ${has.firmware.version || 'unknown'}, not ${versions.join(' or ') || 'any'}`);
  if (tpm === true && has.tpm === null) found.push('it has no TPM');
  return found;
}

/**
 * Which groups have too few, where no part counts twice. As many as possible are matched (augmenting paths): a large disk that
 * is taken for a small one is given back where the large one needs it.
 */
function lacking<G extends { count: number }, P>(
  groups: readonly G[],
  parts: readonly P[],
  fits: (group: G, part: P) => boolean,
  textOf: (group: G) => string,
  noun: string,
): string[] {
  const wants = groups.flatMap((group, index) => Array.from({ length: group.count }, () => index));
  const taken = new Map<number, number>();
  const place = (want: number, seen: Set<number>): boolean => {
    for (const [i, part] of parts.entries()) {
      if (seen.has(i) || !fits(groups[wants[want]!]!, part)) continue;
      seen.add(i);
      const other = taken.get(i);
      if (other !== undefined && !place(other, seen)) continue;
      taken.set(i, want);
      return true;
    }
    return false;
  };
  for (const want of wants.keys()) place(want, new Set());
  const had = Map.groupBy(taken.values(), (want) => wants[want]!);
  return groups.flatMap((group, index) => {
    const count = had.get(index)?.length ?? 0;
    return count >= group.count ? [] : [`it has ${count} of ${group.count} ${noun}s${textOf(group)}`];
  });
}

type DiskGroup = NonNullable<Expects['disks']>[number];
type NicGroup = NonNullable<Expects['nics']>[number];

const fitsDisk = ({ size, rotational }: DiskGroup, disk: Inventory['disks'][number]): boolean =>
  disk.size >= size * SLACK && (rotational === undefined || disk.rotational === rotational);

const fitsNic = ({ driver, speed }: NicGroup, nic: Inventory['nics'][number]): boolean =>
  (driver === undefined || nic.driver === driver) && (speed === undefined || (nic.speed ?? 0) >= speed);

const diskText = ({ size, rotational }: DiskGroup): string => {
  const kind = rotational === undefined ? '' : rotational ? ' that turn' : ' that do not turn';
  return ` of ${sizeText(size)}${kind}`;
};
const nicText = ({ driver, speed }: NicGroup): string =>
  `${driver === undefined ? '' : ` of ${driver}`}${speed === undefined ? '' : ` at ${speed} Mb/s`}`;

const sizeText = (bytes: number): string => `${Math.round((bytes / 2 ** 30) * 10) / 10} GiB`;
