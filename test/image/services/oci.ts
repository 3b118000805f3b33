/** Images that tests write themselves, with whatever no program would write. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { ExecutionContext } from 'ava';

export type Made = {
  name: string;
  /** The flag of tar: `0` a file, `1` a hard link, `2` a symbolic link, `5` a folder. */
  flag?: string;
  content?: string | Buffer;
  target?: string;
  mode?: number;
  uid?: number;
  /** Seconds since the epoch. */
  time?: number;
};

const octal = (value: number, length: number) => value.toString(8).padStart(length - 1, '0');
const padded = (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);

export function header(entry: Made, size: number): Buffer {
  const { name, flag = '0', target = '', mode = 0o644, uid = 0, time = 0 } = entry;
  const block = Buffer.alloc(512);
  block.write(name, 0, 100);
  block.write(octal(mode, 8), 100);
  block.write(octal(uid, 8), 108);
  block.write(octal(0, 8), 116);
  block.write(octal(size, 12), 124);
  block.write(octal(time, 12), 136);
  block.write(' '.repeat(8), 148);
  block.write(flag, 156);
  block.write(target, 157, 100);
  block.write('ustar\x0000', 257, 'latin1');
  const sum = block.reduce((all, byte) => all + byte, 0);
  block.write(`${octal(sum, 7)}\0 `, 148);
  return block;
}

function paxOf(fields: Record<string, string>): Buffer {
  const records = Object.entries(fields).map(([key, value]) => {
    const rest = Buffer.byteLength(` ${key}=${value}\n`);
    let length = rest + String(rest).length;
    if (rest + String(length).length > length) length += 1;
    return `${length} ${key}=${value}\n`;
  });
  const bytes = Buffer.from(records.join(''));
  return Buffer.concat([header({ name: 'pax', flag: 'x' }, bytes.length), padded(bytes)]);
}

export function tarOf(entries: readonly Made[]): Buffer {
  const parts = entries.flatMap((entry) => {
    const content = Buffer.from(entry.content ?? '');
    const long: Record<string, string> = {};
    if (Buffer.byteLength(entry.name) > 100) long.path = entry.name;
    if (Buffer.byteLength(entry.target ?? '') > 100) long.linkpath = entry.target ?? '';
    return [
      ...(Object.keys(long).length === 0 ? [] : [paxOf(long)]),
      header(entry, content.length),
      padded(content),
    ];
  });
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

type Layout = {
  layers: readonly Buffer[];
  config?: object;
  architecture?: string;
  /** Changes what is written, by the name of the document. */
  manifest?: (made: Record<string, never>) => object;
  gzip?: boolean;
};

export async function folder(t: ExecutionContext): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'bootwave-oci-'));
  t.teardown(() => rm(made, { recursive: true, force: true }));
  return made;
}

/** A folder with an OCI image layout. */
export async function layout(t: ExecutionContext, parts: Layout): Promise<string> {
  const made = await folder(t);
  const blobs = join(made, 'blobs/sha256');
  await mkdir(blobs, { recursive: true });
  const put = async (mediaType: string, bytes: Buffer) => {
    await writeFile(join(blobs, sha256(bytes)), bytes);
    return { mediaType, digest: `sha256:${sha256(bytes)}`, size: bytes.length };
  };
  const json = (value: object) => Buffer.from(JSON.stringify(value));
  const { layers, config = { Cmd: ['/bin/x'] }, architecture = 'amd64', gzip = true } = parts;
  const type = (name: string) => `application/vnd.oci.image.${name}`;
  const described = [];
  for (const layer of layers)
    described.push(
      await put(type(`layer.v1.tar${gzip ? '+gzip' : ''}`), gzip ? gzipSync(layer, { level: 1 }) : layer),
    );
  const diff_ids = layers.map((layer) => `sha256:${sha256(layer)}`);
  const rootfs = { type: 'layers', diff_ids };
  const manifest = {
    schemaVersion: 2,
    config: await put(type('config.v1+json'), json({ architecture, os: 'linux', config, rootfs })),
    layers: described,
  };
  const changed = parts.manifest?.(manifest as never) ?? manifest;
  const index = { schemaVersion: 2, manifests: [await put(type('manifest.v1+json'), json(changed))] };
  await writeFile(join(made, 'index.json'), json(index));
  await writeFile(join(made, 'oci-layout'), json({ imageLayoutVersion: '1.0.0' }));
  return made;
}

/** The least that a manifest says. */
export const MANIFEST = 'limits: { memory: 33554432, cpu: 50, tasks: 16 }';
