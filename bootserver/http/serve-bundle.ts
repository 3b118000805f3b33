import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Parts } from './parts.ts';
import type { Asked, Reply } from './route.ts';

/** A bundle is called by its content, so it never changes, and whoever begins to read one reads it to its end. */
export async function bundle({ digest }: Asked, { bundles }: Parts): Promise<Reply> {
  const handle = bundles === undefined ? null : await opened(join(bundles, digest));
  if (handle === null) return { kind: 'absent', code: 'BUNDLE_ABSENT', what: 'no such bundle is here' };
  const release = () => void handle.close().catch(() => {});
  try {
    const { size, mtimeMs: modified } = await handle.stat();
    const type = 'application/octet-stream';
    return { kind: 'file', type, etag: `"${digest}"`, modified, fd: handle.fd, part: [0, size], release };
  } catch (error) {
    release();
    throw error;
  }
}

async function opened(path: string): Promise<FileHandle | null> {
  try {
    const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if ((await handle.stat()).isFile()) return handle;
    await handle.close();
    return null;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ELOOP') return null;
    throw error;
  }
}
