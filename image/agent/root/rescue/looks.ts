/** What root shows of a node in rescue. It changes nothing, takes no words of whoever asks but a name from a list, and ends by itself. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError, messageOf } from '../../../../base/error.ts';
import { run } from '../../../../base/run.ts';
import {
  type Look,
  RESCUE_LIMITS,
  type RescueRequest,
  type Shown,
} from '../../../../protocol/agent/rescue.ts';
import type { Order } from '../../../../protocol/order.ts';
import { type DiskFacts, lastingName } from '../disk/layout.ts';

export type RescuePlaces = {
  /** The order in force, verified by root. */
  order(): Promise<Pick<Order, 'rescue'>>;
  readDisks(): Promise<Pick<DiskFacts, 'path' | 'wwn' | 'serial'>[]>;
  /** /proc and /sys; tests have others. */
  proc: string;
  sys: string;
  /** Milliseconds since the epoch. */
  now(): number;
};

/** Milliseconds in which a program has to have answered. */
const PATIENCE = 60_000;
const LINES = 20_000;

export const RESCUE_OPERATIONS = {
  async look({ look }: Extract<RescueRequest, { operation: 'look' }>, places: RescuePlaces): Promise<Shown> {
    await checkOrdered(places);
    return shown(await LOOKS[look](places));
  },
  async 'hash-disk'(
    { disk }: Extract<RescueRequest, { operation: 'hash-disk' }>,
    places: RescuePlaces,
  ): Promise<Shown> {
    await checkOrdered(places);
    return shown(Buffer.from(await hashed(disk, places)));
  },
};

/** Sshd lets nobody in after it; whoever came before is told so, too. @throws BootwaveError `RESCUE_OVER`, and what `order` throws */
async function checkOrdered({ order, now }: RescuePlaces): Promise<void> {
  const { rescue } = await order();
  if (rescue?.access !== undefined && rescue.access.until > now()) return;
  throw new BootwaveError({
    code: 'RESCUE_OVER',
    what: 'no order has people look at this node now',
    unchanged: 'nothing was shown',
    next: 'bootwave incident access asks for it',
  });
}

/** The end of it, because that is the newest. */
const shown = (bytes: Buffer): Shown => ({
  bytes: bytes.subarray(-RESCUE_LIMITS.bytes).toString('base64'),
  more: bytes.length > RESCUE_LIMITS.bytes,
});

const said = async (program: string, ...args: string[]): Promise<Buffer> => {
  const { code, stdout, stderr } = await run(program, args, {
    timeout: PATIENCE,
    keep: RESCUE_LIMITS.bytes + 1,
  });
  return Buffer.from(
    code === 0 ? stdout : `${stdout}\n${program} ended with ${code}: ${stderr.slice(-2000)}\n`,
  );
};

const journal = (...more: string[]) =>
  said('journalctl', '--quiet', '--no-pager', '--boot', '--output=short-iso', `--lines=${LINES}`, ...more);

const LOOKS: Record<Look, (places: RescuePlaces) => Promise<Buffer>> = {
  journal: () => journal(),
  kernel: () => journal('--dmesg'),
  units: () => said('systemctl', 'list-units', '--all', '--no-pager', '--plain', '--full'),
  disks: () =>
    said('lsblk', '--output', 'NAME,TYPE,SIZE,RO,MODEL,SERIAL,WWN,TRAN,STATE,FSTYPE,PARTLABEL,MOUNTPOINTS'),
  processes: ({ proc }) => processes(proc),
  network: ({ proc, sys }) => network(proc, sys),
  'event-log': ({ sys }) =>
    readFile(join(sys, 'kernel/security/tpm0/binary_bios_measurements')).catch((cause: unknown) => {
      throw new BootwaveError({
        code: 'RESCUE_NO_LOG',
        what: `the firmware left no log that can be read: ${messageOf(cause)}`,
        unchanged: 'nothing was shown',
        next: 'a machine without a TPM has none',
      });
    }),
};

async function processes(proc: string): Promise<Buffer> {
  const ids = (await readdir(proc))
    .filter((name) => /^\d+$/.test(name))
    .sort((a, b) => Number(a) - Number(b));
  const lines = await Promise.all(
    ids.map(async (id) => {
      const status = await read(join(proc, id, 'status'));
      const [name, state, parent, user, rss] = ['Name', 'State', 'PPid', 'Uid', 'VmRSS'].map(
        (field) => new RegExp(`^${field}:\\s+(.*)$`, 'm').exec(status)?.[1]?.replaceAll('\t', ' ') ?? '',
      );
      return status === ''
        ? ''
        : `${id} parent ${parent} uid ${user?.split(' ')[0]} ${state} ${rss} ${name}\n`;
    }),
  );
  return Buffer.from(lines.join(''));
}

async function network(proc: string, sys: string): Promise<Buffer> {
  const cards = await readdir(join(sys, 'class/net')).catch(() => []);
  const texts = cards.map(async (card) => {
    const at = (name: string) => read(join(sys, 'class/net', card, name));
    const names = ['address', 'operstate', 'carrier', 'speed', 'mtu'];
    const counts = ['rx_bytes', 'rx_errors', 'rx_dropped', 'tx_bytes', 'tx_errors', 'tx_dropped'];
    const files = [...names, ...counts.map((name) => `statistics/${name}`)];
    const values = await Promise.all(files.map(async (name) => `  ${name}: ${(await at(name)).trim()}\n`));
    return `${card}\n${values.join('')}`;
  });
  const tables = ['net/fib_trie', 'net/route', 'net/arp', 'net/if_inet6', 'net/tcp', 'net/tcp6'].map(
    async (name) => `${name}\n${await read(join(proc, name))}`,
  );
  return Buffer.from((await Promise.all([...texts, ...tables])).join('\n'));
}

/** What is gone, or cannot be read, is empty. */
const read = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');

async function hashed(name: string, { readDisks }: RescuePlaces): Promise<string> {
  const disks = await readDisks();
  const disk = disks.find((one) => lastingName(one) === name);
  if (disk === undefined)
    throw new BootwaveError({
      code: 'RESCUE_NO_DISK',
      what: `this node has no disk ${name}`,
      unchanged: 'nothing was read',
      next: "'disks' lists them: the WWN of one, or the serial number of one that has none",
    });
  const file = await open(disk.path, 'r');
  const hash = createHash('sha256');
  let bytes = 0;
  const stream = createReadStream('', { fd: file, highWaterMark: 1024 * 1024 });
  for await (const piece of stream as AsyncIterable<Buffer>) {
    hash.update(piece);
    bytes += piece.length;
  }
  return `${hash.digest('hex')}  ${name}  ${bytes} bytes\n`;
}
