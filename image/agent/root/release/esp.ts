import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError } from '../../../../base/error.ts';
import { digestOfFile, exists, syncFolder } from '../../../../base/files.ts';
import type { EspFile } from '../../../../protocol/agent/slots.ts';

/**
 * Folder of the image files on the ESP: where the UEFI part of the Boot Loader Specification looks for UKIs ("Type
 * #2").
 */
export const IMAGE_FOLDER = 'EFI/Linux';

export type EspWriter = {
  write(bytes: Uint8Array): Promise<void>;
  /** It is on the medium when this returns. */
  sync(): Promise<void>;
  close(): Promise<void>;
};

/** The folder of image files, as far as the release code touches it. Every change is on the medium when it returns. */
export interface EspFiles {
  list(): Promise<EspFile[]>;
  /** Bytes. */
  space(): Promise<{ free: number; cluster: number }>;
  /** An empty file, whatever was there. */
  create(name: string): Promise<EspWriter>;
  read(name: string): AsyncIterable<Uint8Array>;
  /** SHA-256, hex. */
  digest(name: string): Promise<string>;
  /** @throws BootwaveError `ESP_NAME_TAKEN`: a file is never overwritten */
  rename(from: string, to: string): Promise<void>;
  remove(name: string): Promise<void>;
}

/** @param folder `EFI/Linux` of a mounted ESP; made when it is missing, unless the ESP is mounted read-only */
export async function openEsp(folder: string): Promise<EspFiles> {
  await mkdir(folder, { recursive: true }).catch(unless('EROFS'));
  const path = (name: string) => join(folder, name);
  return {
    async list() {
      const files: EspFile[] = [];
      for (const entry of (await readdir(folder, { withFileTypes: true }).catch(unless('ENOENT'))) ?? [])
        if (entry.isFile()) files.push({ name: entry.name, size: (await stat(path(entry.name))).size });
      return files;
    },
    async space() {
      const { bavail, bsize } = await statfs(folder);
      return { free: bavail * bsize, cluster: bsize };
    },
    async create(name) {
      const handle = await open(path(name), 'w', 0o600);
      return {
        async write(bytes) {
          for (let at = 0; at < bytes.length; ) at += (await handle.write(bytes, at)).bytesWritten;
        },
        sync: () => handle.sync(),
        close: () => handle.close(),
      };
    },
    read: (name) => createReadStream(path(name)),
    digest: (name) => digestOfFile(path(name)),
    async rename(from, to) {
      // The one process that writes here holds the mount, so nothing happens between this check and the rename.
      const taken = await exists(path(to));
      if (taken)
        throw new BootwaveError({
          code: 'ESP_NAME_TAKEN',
          what: `${from} cannot become ${to}: a file has that name already`,
          unchanged: 'no file was touched',
          next: 'restart the node; its ESP is checked before the next change',
        });
      await rename(path(from), path(to));
      await syncFolder(folder);
    },
    async remove(name) {
      await rm(path(name), { force: true });
      await syncFolder(folder);
    },
  };
}

function unless(code: string): (error: NodeJS.ErrnoException) => undefined {
  return (error) => {
    if (error.code !== code) throw error;
  };
}
