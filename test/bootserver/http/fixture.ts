/** A folder of published images and loaders, and a server on loopback that serves them. */
import { createHash } from 'node:crypto';
import { link, mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger, type Logger } from '../../../base/log.ts';
import type { BootEvent } from '../../../bootserver/directory.ts';
import type { Delivery } from '../../../bootserver/http/delivery.ts';
import type { HttpLimits } from '../../../bootserver/http/limits.ts';
import type { ScriptSource } from '../../../bootserver/http/parts.ts';
import { type HttpServer, startHttp } from '../../../bootserver/http/server.ts';

export type UkiPart = { name: string; content: Uint8Array };

const ALIGN = 512;

/** A PE32+ file with these sections, as small as the specification lets it be. Its code does nothing. */
export function makeUki(parts: readonly UkiPart[]): Buffer {
  const pe = 0x80;
  const optional = 112;
  const table = pe + 24 + optional;
  const headerEnd = roundUp(table + parts.length * 40);
  const head = Buffer.alloc(headerEnd);
  head.write('MZ', 0, 'latin1');
  head.writeUInt32LE(pe, 0x3c);
  head.write('PE\0\0', pe, 'latin1');
  head.writeUInt16LE(0x8664, pe + 4);
  head.writeUInt16LE(parts.length, pe + 6);
  head.writeUInt16LE(optional, pe + 20);
  head.writeUInt16LE(0x20b, pe + 24);
  let at = headerEnd;
  const bodies = parts.map(({ name, content }, i) => {
    const entry = table + i * 40;
    const padded = roundUp(content.length);
    head.write(name.slice(0, 8), entry, 'latin1');
    head.writeUInt32LE(content.length, entry + 8);
    head.writeUInt32LE(0x1000 * (i + 1), entry + 12);
    head.writeUInt32LE(padded, entry + 16);
    head.writeUInt32LE(at, entry + 20);
    at += padded;
    return Buffer.concat([content, Buffer.alloc(padded - content.length)]);
  });
  return Buffer.concat([head, ...bodies]);
}

function roundUp(value: number): number {
  return Math.ceil(value / ALIGN) * ALIGN;
}

/** Bytes that differ at every offset, so that a wrong range shows. */
export function pattern(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed >>> 0 || 1;
  for (let i = 0; i < length; i += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

export const LINUX = pattern(70_001, 2);
export const INITRD = pattern(300_003, 3);
export const CMDLINE = 'console=ttyS0 panic=10';
export const UKI = makeUki([
  { name: '.osrel', content: Buffer.from('ID=bootwave\n') },
  { name: '.cmdline', content: Buffer.from(`${CMDLINE}\0`) },
  { name: '.linux', content: LINUX },
  { name: '.initrd', content: INITRD },
]);

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** As the image builder does it: the image first, then the manifest that makes it published. */
export async function publish(folder: string, version: string, content: Uint8Array): Promise<void> {
  const path = join(folder, `bootwave_${version}.efi`);
  await rm(join(folder, `bootwave_${version}.json`), { force: true });
  await rm(path, { force: true });
  await writeFile(`${path}.tmp`, content);
  await link(`${path}.tmp`, path);
  await rm(`${path}.tmp`);
  await writeManifest(folder, version, content.length, sha256(content));
}

export async function writeManifest(
  folder: string,
  version: string,
  size: number,
  digest: string,
): Promise<void> {
  const text = JSON.stringify({ version, size, sha256: digest, kernel: 'ignored' });
  await writeFile(join(folder, `bootwave_${version}.json`), text);
}

/** An image of `size` bytes that is a hole behind its header: costs no disk, and its bytes go over the wire all the same. */
export async function publishHole(folder: string, version: string, size: number): Promise<void> {
  const handle = await open(join(folder, `bootwave_${version}.efi`), 'w');
  try {
    await handle.write(UKI);
    await handle.truncate(size);
  } finally {
    await handle.close();
  }
  await writeManifest(folder, version, size, '0'.repeat(64));
}

export type Fixture = {
  images: string;
  loaders: string;
  server: HttpServer;
  url: string;
  events: BootEvent[];
  stop(): Promise<void>;
};

export async function startFixture(
  options: {
    limits?: Partial<HttpLimits>;
    delivery?: Pick<Delivery, 'begin'>;
    script?: ScriptSource;
    image?: Uint8Array;
    log?: Logger;
  } = {},
): Promise<Fixture> {
  const root = await mkdtemp(join(tmpdir(), 'bootwave-http-'));
  const [images, loaders] = [join(root, 'images'), join(root, 'loaders')];
  await mkdir(images);
  await mkdir(loaders);
  await publish(images, '1.0', options.image ?? UKI);
  await writeFile(join(loaders, 'ipxe.efi'), pattern(5000, 9));
  const events: BootEvent[] = [];
  const server = await startHttp({
    listen: { host: '127.0.0.1', port: 0 },
    images,
    loaders,
    script: options.script ?? (async (mac) => `#!ipxe\n# ${mac}\n`),
    onEvent: (event) => events.push(event),
    log: options.log ?? createLogger('http-test', 'silent'),
    ...(options.delivery === undefined ? {} : { delivery: options.delivery }),
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  });
  const stop = async () => {
    await server.stop();
    await rm(root, { recursive: true });
  };
  return { images, loaders, server, url: `http://127.0.0.1:${server.port}`, events, stop };
}
