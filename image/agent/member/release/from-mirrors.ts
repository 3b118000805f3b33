/**
 * Neighbours that serve what they run (image/services/image-mirror). They spare the boot server, and nothing depends on
 * them: none is believed, each is asked once, and whatever one does costs seconds.
 */
import { messageOf } from '../../../../base/error.ts';
import { sizeOf } from '../../../../base/files.ts';
import { MIRROR } from '../../../../protocol/service/mirror.ts';
import { fetchRest, type Source, type Wish } from './fetch-rest.ts';

/**
 * Milliseconds and bytes, see `Source`. A mirror is near, so it is worth waiting for only while it is quick: one that
 * lies at its slowest holds an image of 72 MB up for half a minute.
 */
const PACE = { silence: 3000, least: 4 * 2 ** 20, window: 2000 } as const;
export type MirrorPace = { [P in keyof typeof PACE]: number };

export type MirrorOptions = {
  /** IPv4 addresses, the first first. */
  addresses: readonly string[];
  /** Of the file on the boot server: only the host and the port differ. */
  url: string;
  /** For the journal. */
  tell(text: string): void;
  pace?: MirrorPace;
  /** For tests. */
  port?: number;
};

/** Who has a file. */
export type Mirrors = Pick<MirrorOptions, 'addresses' | 'pace'>;

/**
 * Fetches as much of a file as mirrors give, from where it is now. Never throws but for the signal.
 * @returns addresses of those that have given bytes of it
 */
export async function fromMirrors(
  path: string,
  { addresses, url, tell, pace = PACE, port = MIRROR.port }: MirrorOptions,
  wish: Wish,
): Promise<string[]> {
  const gave: string[] = [];
  const { wanted, subject, signal } = wish;
  for (const address of addresses.slice(0, MIRROR.most)) {
    const before = await sizeOf(path);
    if (before >= wanted.size) break;
    try {
      const at = new URL(new URL(url).pathname, `http://${address}:${port}`);
      const source: Source = { url: at.href, kind: 'mirror', ...pace };
      await fetchRest(path, before, source, wish);
    } catch (error) {
      signal.throwIfAborted();
      tell(`mirror ${address} is left with ${subject.noun} ${wanted.version}: ${messageOf(error)}`);
    }
    if ((await sizeOf(path)) > before) gave.push(address);
  }
  return gave;
}
