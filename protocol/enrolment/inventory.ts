/** What a machine is made of and what it runs, as it says itself. */
import * as z from 'zod/mini';
import { count, line } from './fields.ts';

const mac = z.string().check(z.regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/));

export const inventorySchema = z.strictObject({
  uuid: line(64),
  manufacturer: line(128),
  product: line(128),
  serial: line(128),
  firmware: z.strictObject({
    kind: z.enum(['uefi', 'bios']),
    vendor: line(128),
    version: line(128),
    date: line(32),
  }),
  secureBoot: z.enum(['on', 'off', 'setup', 'absent']),
  cpu: z.strictObject({ model: line(128), threads: count(65536) }),
  /** Bytes. */
  memory: count(),
  /** `speed` in Mb/s, null while the link is down. */
  nics: z
    .array(z.strictObject({ name: line(32), mac, driver: line(64), speed: z.nullable(z.int()) }))
    .check(z.maxLength(64)),
  /** `size` in bytes. */
  disks: z
    .array(
      z.strictObject({
        name: line(32),
        size: count(),
        model: line(128),
        serial: line(128),
        rotational: z.boolean(),
      }),
    )
    .check(z.maxLength(512)),
  tpm: z.nullable(z.strictObject({ manufacturer: line(64), firmware: line(64) })),
});
export type Inventory = z.infer<typeof inventorySchema>;

/** What runs: from os-release (`IMAGE_VERSION`) and the kernel. */
export const runningSchema = z.strictObject({
  version: line(64),
  kernel: line(128),
  /** /proc/sys/kernel/random/boot_id: a new one means that the node restarted. */
  bootId: line(64),
});
export type Running = z.infer<typeof runningSchema>;
