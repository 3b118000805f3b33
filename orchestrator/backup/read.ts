/** Takes a backup apart into an empty folder, and believes it when the fleet's root key has signed all of it. */
import { createHash } from 'node:crypto';
import { type FileHandle, mkdir, open, readFile, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BootwaveError } from '../../base/error.ts';
import { jsonIn } from '../../base/json.ts';
import { dataPaths } from '../../base/paths.ts';
import { keyLayout } from '../../keys/layout.ts';
import { damaged, type Found, readArchive } from './archive.ts';
import { isInside, partOf } from './contents.ts';
import {
  DATA,
  type Entry,
  FORMAT,
  forged,
  HEAD,
  headSchema,
  MANIFEST,
  type Manifest,
  RECORDS,
  readManifest,
  SIGNATURE,
} from './manifest.ts';

/** Bytes of what is not a file of the data directory. */
const MOST_TEXT = 64 << 20;

export type UnpackOptions = {
  from: string;
  /** File with age's private key. */
  identity: string;
  /** Fingerprint of the fleet's root certificate, from elsewhere than the backup. */
  fleet: string;
  /** An empty folder: it becomes a data directory. Nothing is written outside of it. */
  into: string;
  /** File that gets the content of Redis. */
  records: string;
};

/**
 * @throws BootwaveError `RESTORE_FOREIGN`, `RESTORE_FORGED`, `RESTORE_FORMAT`, `RESTORE_DAMAGED`, `RESTORE_KEY`, `RESTORE_FILE`; what
 * is in the folder then is to be believed by nobody
 */
export async function unpack(options: UnpackOptions): Promise<Manifest> {
  const { into, records: file } = options;
  const records = await open(file, 'wx', 0o600);
  const seen: Entry[] = [];
  const texts = new Map<string, string>();
  try {
    await readArchive(options.from, options.identity, async ({ header, content }) => {
      const { name: path, type, size = 0, mode, linkname } = header;
      if (texts.has(SIGNATURE)) throw forged('something follows its end');
      if (seen.length === 0 && path !== HEAD) throw notOurs();
      const hash = createHash('sha256');
      const add = (sha256: string) => seen.push({ path, size, sha256 });
      if (type === 'symlink') {
        await link(into, path, linkname ?? '');
        return void add(hash.update(linkname ?? '').digest('hex'));
      }
      if (type !== 'file') throw forged(`${path} is no file`);
      if ([HEAD, MANIFEST, SIGNATURE].includes(path)) {
        const text = await textOf(content);
        texts.set(path, text);
        if (path === HEAD) checkFormat(text);
        if (path === HEAD) add(hash.update(text).digest('hex'));
        return;
      }
      if (path.startsWith(RECORDS)) await copy(content, records, hash);
      else {
        const handle = await open(await place(into, path), 'wx', (mode ?? 0o600) & 0o777);
        try {
          await copy(content, handle, hash);
        } finally {
          await handle.close();
        }
      }
      add(hash.digest('hex'));
    });
  } catch (error) {
    // Two of one name, or a file where a folder is.
    const { code = '', path = 'it' } = error as NodeJS.ErrnoException;
    throw ['EEXIST', 'ENOTDIR', 'EISDIR'].includes(code) ? forged(`${path} is there twice`) : error;
  } finally {
    await records.close();
  }
  return judge(options, texts, seen);
}

async function judge(
  { into, fleet }: UnpackOptions,
  texts: ReadonlyMap<string, string>,
  seen: readonly Entry[],
): Promise<Manifest> {
  const [text, signature] = [texts.get(MANIFEST), texts.get(SIGNATURE)];
  const { certificate } = keyLayout(dataPaths(into).keys).ca.root;
  const root = await readFile(certificate, 'utf8').catch(() => undefined);
  if (text === undefined || signature === undefined || root === undefined)
    throw damaged('its end is missing');
  const manifest = readManifest(text, signature, root, fleet);
  const line = ({ path, size, sha256 }: Entry) => `${path} ${size} ${sha256}`;
  const differs = manifest.entries.findIndex(
    (entry, i) => seen[i] === undefined || line(seen[i]) !== line(entry),
  );
  if (differs >= 0) throw forged(`${manifest.entries[differs]?.path} is not what was signed`);
  if (seen.length !== manifest.entries.length) throw forged('it has more in it than was signed');
  return manifest;
}

/** Only where a file of a data directory may be, and never twice. */
async function place(into: string, path: string): Promise<string> {
  const name = path.slice(DATA.length);
  if (!path.startsWith(DATA) || !isInside(name) || ['made', 'records'].includes(partOf(name).part))
    throw forged(`${path} belongs nowhere`);
  const full = join(into, name);
  await mkdir(dirname(full), { recursive: true, mode: 0o700 });
  return full;
}

/** The served state of the release metadata; nothing that comes later is written through it. */
async function link(into: string, path: string, target: string): Promise<void> {
  if (path !== `${DATA}releases/metadata` || !/^metadata-\d+$/.test(target))
    throw forged(`${path} is a link`);
  await symlink(target, await place(into, path));
}

async function copy(content: Found['content'], handle: FileHandle, hash: ReturnType<typeof createHash>) {
  for await (const piece of content) {
    hash.update(piece);
    for (let at = 0; at < piece.length; ) at += (await handle.write(piece, at)).bytesWritten;
  }
}

async function textOf(content: Found['content']): Promise<string> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of content) {
    size += piece.length;
    if (size > MOST_TEXT) throw damaged('its list of files is too long');
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

function checkFormat(text: string): void {
  const head = headSchema.safeParse(jsonIn(text));
  if (!head.success) throw notOurs();
  if (head.data.bootwaveBackup === FORMAT) return;
  throw new BootwaveError({
    code: 'RESTORE_FORMAT',
    what: `this backup has format ${head.data.bootwaveBackup}, and this version knows ${FORMAT}`,
    unchanged: 'nothing was restored',
    next: 'restore it with the version of bootwave that made it',
  });
}

const notOurs = (): BootwaveError =>
  new BootwaveError({
    code: 'RESTORE_FORMAT',
    what: "this is no backup that 'bootwave backup' made",
    unchanged: 'nothing was restored',
    next: 'name another file',
  });
