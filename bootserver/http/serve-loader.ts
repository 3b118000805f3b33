import { createHash } from 'node:crypto';
import { type Loader, openLoader } from '../tftp/loaders.ts';
import type { Parts } from './parts.ts';
import type { Asked, Reply } from './route.ts';

export async function loader({ name }: Asked, { loaders }: Parts): Promise<Reply> {
  const found = await openLoader(loaders, name);
  if (found === undefined) {
    return { kind: 'absent', code: 'LOADER_ABSENT', what: `there is no loader ${name}` };
  }
  const release = () => void found.handle.close().catch(() => {});
  try {
    const { size, modified } = found;
    const etag = `"${await digestOf(found)}"`;
    const type = 'application/efi';
    return { kind: 'file', type, etag, modified, fd: found.handle.fd, part: [0, size], release };
  } catch (error) {
    release();
    throw error;
  }
}

const digests = new Map<string, string>();
/**
 * There is only a handful of loaders; more than this many versions would mean that they were replaced since the start.
 */
const MOST_DIGESTS = 64;

/** The tag depends on the content, not on dates: after a rebuild of the same bytes caches stay valid. */
async function digestOf({ handle, identity }: Loader): Promise<string> {
  const known = digests.get(identity);
  if (known !== undefined) return known;
  const hash = createHash('sha256');
  for await (const piece of handle.createReadStream({ start: 0, autoClose: false })) hash.update(piece);
  const digest = hash.digest('hex');
  if (digests.size >= MOST_DIGESTS) digests.clear();
  digests.set(identity, digest);
  return digest;
}
