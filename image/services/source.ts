/** Where the files of an image lie: in a folder, or in an archive of which each file is a range of bytes. */
import { createReadStream, createWriteStream, constants as fs } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { messageOf } from '../../base/error.ts';
import { readTar } from '../../formats/tar.ts';
import { refused } from './failure.ts';
import type { OciLimits } from './limits.ts';

/** Bytes of one file of the image. */
export type Piece = { path: string; start: number; size: number };

export type Source = {
  /** As people named it. */
  shown: string;
  /** @returns null if it is not there */
  piece(name: string): Promise<Piece | null>;
};

export function bytesOf({ path, start, size }: Piece): AsyncIterable<Uint8Array> {
  if (size === 0) return nothing();
  return createReadStream(path, { start, end: start + size - 1, highWaterMark: 1 << 20 });
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

/**
 * @param path of a folder or of an archive
 * @param work a folder for what has to be uncompressed first
 * @throws BootwaveError `SERVICE_OCI`, `SERVICE_TOO_LARGE`
 */
export async function openSource(path: string, work: string, limits: OciLimits): Promise<Source> {
  const there = await stat(path).catch((cause: unknown) => {
    throw refused('SERVICE_OCI', `${path} cannot be read: ${messageOf(cause)}`, cause);
  });
  if (there.isDirectory()) return folderSource(path);
  if (!there.isFile()) throw refused('SERVICE_OCI', `${path} is neither a folder nor a file`);
  const kind = await compressionOf(path);
  const archive = kind === null ? path : await uncompressed(path, kind, join(work, 'archive.tar'), limits);
  return archiveSource(path, archive, limits);
}

/** Only of an OCI layout, whose names are plain: those in a `manifest.json` could lead anywhere. */
const LAYOUT = /^(?:oci-layout|index\.json|blobs\/sha256\/[0-9a-f]{64})$/;

function folderSource(folder: string): Source {
  return {
    shown: folder,
    piece: async (name) => {
      if (!LAYOUT.test(name)) return null;
      const path = join(folder, name);
      try {
        const handle = await open(path, fs.O_RDONLY | fs.O_NOFOLLOW | fs.O_NONBLOCK);
        try {
          const found = await handle.stat();
          return found.isFile() ? { path, start: 0, size: found.size } : null;
        } finally {
          await handle.close();
        }
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP') return null;
        throw error;
      }
    },
  };
}

async function archiveSource(shown: string, path: string, limits: OciLimits): Promise<Source> {
  const pieces = new Map<string, Piece>();
  /** `docker save` writes a layer that several images have once, and links to it. */
  const links = new Map<string, string>();
  try {
    for await (const { name, type, target, size, offset } of readTar(
      createReadStream(path, { highWaterMark: 1 << 20 }),
    )) {
      const plain = name.replace(/^\.\//, '');
      if (pieces.has(plain) || links.has(plain)) throw new Error(`${plain} is in it twice`);
      if (pieces.size + links.size >= limits.files)
        throw new Error(`more than ${limits.files} files are in it`);
      if (type === 'file') pieces.set(plain, { path, start: offset, size });
      else if (type === 'symlink' || type === 'hardlink')
        links.set(plain, type === 'symlink' ? join(plain, '..', target) : target.replace(/^\.\//, ''));
    }
  } catch (cause) {
    throw refused('SERVICE_OCI', `${shown} is no archive of an image: ${messageOf(cause)}`, cause);
  }
  // A link to a link is nothing that any of these programs writes.
  return { shown, piece: async (name) => pieces.get(name) ?? pieces.get(links.get(name) ?? '') ?? null };
}

export type Compression = 'gzip' | 'zstd';

export const decompressor = (kind: Compression) =>
  kind === 'gzip' ? createGunzip() : createZstdDecompress();

/** By the first bytes (RFC 1952, 2.3.1; RFC 8878, 3.1.1). */
export async function compressionOf(path: string, start = 0): Promise<Compression | null> {
  const handle = await open(path, 'r');
  try {
    const { buffer } = await handle.read(Buffer.alloc(4), 0, 4, start);
    if (buffer.readUInt16BE(0) === 0x1f8b) return 'gzip';
    return buffer.readUInt32LE(0) === 0xfd2fb528 ? 'zstd' : null;
  } finally {
    await handle.close();
  }
}

async function uncompressed(path: string, kind: Compression, to: string, limits: OciLimits): Promise<string> {
  let bytes = 0;
  const counted = async function* (pieces: AsyncIterable<Uint8Array>) {
    for await (const piece of pieces) {
      bytes += piece.length;
      if (bytes > limits.bytes)
        throw refused('SERVICE_TOO_LARGE', `${path} holds more than ${limits.bytes} bytes`);
      yield piece;
    }
  };
  try {
    await pipeline(createReadStream(path), decompressor(kind), counted, createWriteStream(to));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code?.startsWith('Z_') === true || /zstd/i.test(messageOf(cause)))
      throw refused('SERVICE_OCI', `${path} cannot be uncompressed: ${messageOf(cause)}`, cause);
    throw cause;
  }
  return to;
}
