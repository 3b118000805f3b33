/** Root's store of bundles: a file for each, named by its digest, which only root writes. It knows no word of services. */
import { createHash, type Hash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError } from '../../../../base/error.ts';
import { syncFolder } from '../../../../base/files.ts';
import { treeBytes, VerityTree } from '../../../../formats/verity.ts';
import { VERITY } from '../../../../protocol/service/bundle.ts';

export type ExpectedBundle = {
  sha256: string;
  /** Bytes. */
  size: number;
  /** Hex. */
  rootHash: string;
  /** Bytes before the tree. */
  dataBytes: number;
};

const PIECE = 1 << 20;

export const bundleFile = (store: string, sha256: string): string => join(store, sha256);

/** Digests of the bundles that are there; each was proved when it came in. */
export async function bundlesIn(store: string): Promise<Set<string>> {
  const names = await readdir(store).catch(() => []);
  return new Set(names.filter((name) => /^[0-9a-f]{64}$/.test(name)));
}

/** With all that lies beside it under its name. */
export async function dropFromStore(store: string, sha256: string): Promise<void> {
  for (const name of await readdir(store).catch(() => []))
    if (name.startsWith(sha256)) await rm(join(store, name), { force: true });
}

/** What a process that was killed has left of a copy; nobody else may be copying. */
export async function dropParts(store: string): Promise<void> {
  for (const name of await readdir(store).catch(() => []))
    if (name.endsWith('.part')) await rm(join(store, name), { force: true }).catch(() => {});
}

/**
 * Brings a bundle into the store, or nothing: while it is copied its size and digest are compared with the order's,
 * and its tree with the root hash of the metadata. Whoever owns the source may change it meanwhile; what is compared
 * is what is written.
 * @param source of anybody
 * @returns false when there is no such file
 * @throws BootwaveError `SERVICE_BUNDLE_SIZE`, `SERVICE_BUNDLE_DIGEST`, `SERVICE_BUNDLE_VERITY`, `SERVICE_NO_SPACE`
 */
export async function takeBundle(source: string, store: string, expected: ExpectedBundle): Promise<boolean> {
  const from = await open(source, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
    () => null,
  );
  if (from === null) return false;
  const part = join(store, `${expected.sha256}.part`);
  try {
    await mkdir(store, { recursive: true, mode: 0o700 });
    const to = await open(part, 'w', 0o600);
    try {
      await copy(from, to, expected);
      await to.sync();
    } finally {
      await to.close();
    }
    await rename(part, bundleFile(store, expected.sha256));
    await syncFolder(store);
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOSPC') throw cause;
    throw refusal('SERVICE_NO_SPACE', 'the disk has no room for it', 'make room, or order less', cause);
  } finally {
    await from.close();
    await rm(part, { force: true });
  }
}

async function copy(from: FileHandle, to: FileHandle, expected: ExpectedBundle): Promise<void> {
  const { size, isFile } = await from.stat().then((stat) => ({ size: stat.size, isFile: stat.isFile() }));
  if (!isFile || size !== expected.size)
    throw refusal(
      'SERVICE_BUNDLE_SIZE',
      `what was fetched has ${size} bytes; ${expected.size} are ordered`,
      'compare the bundle on that boot server with the published one',
    );
  if (size !== expected.dataBytes + treeBytes(expected.dataBytes)) throw otherTree();
  const hash = createHash('sha256');
  const proof = new Proof(expected);
  const piece = Buffer.alloc(PIECE);
  let at = 0;
  while (at < size) {
    const { bytesRead } = await from.read(piece, 0, Math.min(PIECE, size - at), at);
    if (bytesRead === 0) break;
    const bytes = piece.subarray(0, bytesRead);
    hash.update(bytes);
    proof.add(bytes);
    for (let written = 0; written < bytesRead; )
      written += (await to.write(bytes, written, bytesRead - written, at + written)).bytesWritten;
    at += bytesRead;
  }
  mustBe(hash, expected.sha256);
  proof.end();
}

function mustBe(hash: Hash, sha256: string): void {
  if (hash.digest('hex') === sha256) return;
  throw refusal(
    'SERVICE_BUNDLE_DIGEST',
    'what was fetched is not the ordered bundle: its SHA-256 differs',
    'compare the bundle on that boot server with the published one',
  );
}

/**
 * That the tree in the file is the one over its data, and its root the one of the metadata. Device mapper would open it
 * with any root hash, and fail later, block by block.
 */
class Proof {
  readonly #expected: ExpectedBundle;
  readonly #tree = new VerityTree(VERITY.salt);
  readonly #stored: Buffer[] = [];
  #at = 0;

  constructor(expected: ExpectedBundle) {
    this.#expected = expected;
  }

  add(bytes: Buffer): void {
    const data = Math.max(0, Math.min(bytes.length, this.#expected.dataBytes - this.#at));
    this.#tree.add(bytes.subarray(0, data));
    if (data < bytes.length) this.#stored.push(Buffer.from(bytes.subarray(data)));
    this.#at += bytes.length;
  }

  end(): void {
    const { tree, root } = this.#tree.end();
    if (root === this.#expected.rootHash && tree.equals(Buffer.concat(this.#stored))) return;
    throw otherTree();
  }
}

const otherTree = () =>
  refusal(
    'SERVICE_BUNDLE_VERITY',
    'the tree of hashes in the bundle is not the one that the metadata names',
    'publish it anew',
  );

function refusal(code: string, what: string, next: string, cause?: unknown): BootwaveError {
  return new BootwaveError({ code, what, unchanged: 'nothing was mounted or started', next, cause });
}
