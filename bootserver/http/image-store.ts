/**
 * The images that are published: `bootwave_<version>.efi` with its manifest `bootwave_<version>.json`. The manifest
 * is written last: an image with a manifest is complete. The folder is read again at every request, so a new image is
 * served without a restart; an image that is being downloaded stays open until the last reader is done.
 */

import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { BootwaveError, messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import { SHA256_HEX } from '../../formats/digest.ts';
import {
  sectionNamed,
  UKI_HEADER_BYTES,
  type UkiSection,
  ukiSections,
} from '../../formats/pe/uki-sections.ts';
import { compareVersions } from '../../formats/version.ts';

export { compareVersions };

export type PublishedImage = {
  version: string;
  /** Bytes. */
  size: number;
  /** Hex digest of the file, as the manifest says. */
  sha256: string;
  /** Milliseconds since the epoch. */
  modified: number;
  sections: readonly UkiSection[];
  /** What the UKI's `.cmdline` section holds, for machines that boot kernel and initrd apart; empty without one. */
  cmdline: string;
  /** Versions that firmware with this image's Secure Boot lists refuses to start. */
  revokes: readonly string[];
};

/** Shared by all who read the same image; closed when the last one has released it and the store has moved on. */
export type OpenImage = PublishedImage & {
  /** Valid until `release`. */
  handle: FileHandle;
  release(): void;
};

/** Other fields belong to the builder of the image. */
const manifestSchema = z.object({
  version: z.string(),
  size: z.int().min(1),
  sha256: z.string().regex(SHA256_HEX),
  secureBootLists: z.object({ revokes: z.array(z.string()) }).optional(),
});

/** Versions stand in URLs, scripts and file names, so only what needs no escaping in any of them. */
const VERSION = '[A-Za-z0-9][A-Za-z0-9._~-]{0,63}';
const MANIFEST_NAME = new RegExp(`^bootwave_(${VERSION})\\.json$`);
/** Bytes; a manifest is a few hundred. */
const MANIFEST_BYTES = 1024 * 1024;
const CMDLINE_BYTES = 16 * 1024;

type Entry = {
  identity: string;
  image: PublishedImage;
  handle: FileHandle;
  readers: number;
  current: boolean;
};

export class ImageStore {
  readonly #folder: string;
  readonly #log: Logger | undefined;
  readonly #entries = new Map<string, Entry>();
  /** Images that exist but are not published, with the reason last logged. */
  readonly #refused = new Map<string, string>();
  #scan: Promise<void> | undefined;
  #closed = false;

  constructor(folder: string, log?: Logger) {
    this.#folder = folder;
    this.#log = log;
  }

  /** Newest first, in the order of UAPI.10. */
  async list(): Promise<PublishedImage[]> {
    await this.#refresh();
    return [...this.#entries.values()]
      .map((entry) => entry.image)
      .sort((a, b) => compareVersions(b.version, a.version) || (a.version < b.version ? 1 : -1));
  }

  /** What new hardware gets when no version was chosen for it. */
  async newest(): Promise<PublishedImage | null> {
    return (await this.list())[0] ?? null;
  }

  /**
   * The built-in kernel command line of a version.
   * @throws BootwaveError `IMAGE_NOT_PUBLISHED`
   */
  async cmdline(version: string): Promise<string> {
    await this.#refresh();
    const entry = this.#entries.get(version);
    if (entry !== undefined) return entry.image.cmdline;
    throw new BootwaveError({
      code: 'IMAGE_NOT_PUBLISHED',
      what: `no image of version ${JSON.stringify(version.slice(0, 80))} is published here`,
      next: "publish it, see 'bootwave image list'",
    });
  }

  /** @returns the image, kept open until `release`; `undefined` when no such version is published */
  async open(version: string): Promise<OpenImage | undefined> {
    await this.#refresh();
    const entry = this.#entries.get(version);
    if (entry === undefined || this.#closed) return undefined;
    entry.readers += 1;
    let released = false;
    const release = () => {
      if (released) return;
      released = true;
      entry.readers -= 1;
      this.#closeUnused(entry);
    };
    return { ...entry.image, handle: entry.handle, release };
  }

  /** Closes images without readers; readers under way keep their image until they release it. */
  close(): void {
    this.#closed = true;
    for (const version of [...this.#entries.keys()]) this.#drop(version);
  }

  /** Requests that come while the folder is being read share the result of that one reading. */
  async #refresh(): Promise<void> {
    this.#scan ??= this.#look().finally(() => {
      this.#scan = undefined;
    });
    await this.#scan;
  }

  async #look(): Promise<void> {
    const names = await readdir(this.#folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    const versions = names.flatMap((name) => MANIFEST_NAME.exec(name)?.[1] ?? []);
    for (const version of [...this.#entries.keys()]) if (!versions.includes(version)) this.#drop(version);
    for (const version of versions) await this.#check(version);
  }

  async #check(version: string): Promise<void> {
    try {
      const path = join(this.#folder, `bootwave_${version}.efi`);
      const manifestPath = join(this.#folder, `bootwave_${version}.json`);
      const identity = `${identityOf(await stat(path))} ${identityOf(await stat(manifestPath))}`;
      if (this.#entries.get(version)?.identity === identity) return;
      const entry = await openEntry(version, path, manifestPath, identity);
      this.#drop(version);
      if (this.#closed) {
        await entry.handle.close();
        return;
      }
      this.#entries.set(version, entry);
      this.#refused.delete(version);
      this.#log?.info({ version, size: entry.image.size }, 'image published');
    } catch (error) {
      this.#drop(version);
      const reason = messageOf(error);
      if (this.#refused.get(version) !== reason) this.#log?.warn({ version, reason }, 'image not published');
      this.#refused.set(version, reason);
    }
  }

  #drop(version: string): void {
    const entry = this.#entries.get(version);
    if (entry === undefined) return;
    this.#entries.delete(version);
    entry.current = false;
    this.#closeUnused(entry);
  }

  #closeUnused(entry: Entry): void {
    if (entry.readers > 0 || entry.current) return;
    entry.handle
      .close()
      .catch((error: unknown) => this.#log?.warn({ error: messageOf(error) }, 'image close'));
  }
}

async function openEntry(
  version: string,
  path: string,
  manifestPath: string,
  identity: string,
): Promise<Entry> {
  if ((await stat(manifestPath)).size > MANIFEST_BYTES) throw new Error('its manifest is too large');
  const manifest = manifestSchema.parse(JSON.parse(await readFile(manifestPath, 'utf8')));
  if (manifest.version !== version) throw new Error(`its manifest is of version ${manifest.version}`);
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const { size, mtimeMs } = await handle.stat();
    if (size !== manifest.size) throw new Error(`it has ${size} bytes, its manifest says ${manifest.size}`);
    const sections = ukiSections(await readAt(handle, 0, Math.min(size, UKI_HEADER_BYTES)), size);
    const image: PublishedImage = {
      version,
      size,
      sha256: manifest.sha256,
      modified: mtimeMs,
      sections,
      cmdline: await cmdlineOf(handle, sections),
      revokes: manifest.secureBootLists?.revokes ?? [],
    };
    return { identity, image, handle, readers: 0, current: true };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function cmdlineOf(handle: FileHandle, sections: readonly UkiSection[]): Promise<string> {
  const section = sectionNamed(sections, '.cmdline');
  if (section === undefined) return '';
  if (section.length > CMDLINE_BYTES) throw new Error('its command line is too long');
  const text = (await readAt(handle, section.offset, section.length)).toString('utf8');
  return text.replace(/[\0\s]+$/, '');
}

async function readAt(handle: FileHandle, offset: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  const { bytesRead } = await handle.read(bytes, 0, length, offset);
  return bytes.subarray(0, bytesRead);
}

function identityOf({ ino, size, mtimeMs, ctimeMs }: Stats): string {
  return `${ino}-${size}-${mtimeMs}-${ctimeMs}`;
}
