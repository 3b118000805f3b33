/** Layers, read to their last byte: digests, sizes and every entry judged, before another program unpacks them. */
import { createHash } from 'node:crypto';
import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { BootwaveError, messageOf } from '../../base/error.ts';
import { readTar } from '../../formats/tar.ts';
import { refused } from './failure.ts';
import type { Layer } from './image.ts';
import type { OciLimits } from './limits.ts';
import { bytesOf, decompressor } from './source.ts';
import { Tree } from './tree.ts';

export type CheckedLayer = { diffId: string; size: number };

/**
 * Writes each layer uncompressed into a folder, under the name of its SHA-256: exactly the bytes that were judged are
 * unpacked, whatever happens to the image meanwhile.
 * @throws BootwaveError `SERVICE_LAYER`, `SERVICE_DIGEST`, `SERVICE_TOO_LARGE`; errors of the disk as they are
 */
export async function checkLayers(
  layers: readonly Layer[],
  folder: string,
  limits: OciLimits,
  signal?: AbortSignal,
): Promise<CheckedLayer[]> {
  const tree = new Tree(limits);
  const checked: CheckedLayer[] = [];
  let left = limits.bytes;
  for (const [i, layer] of layers.entries()) {
    signal?.throwIfAborted();
    const size = await checkLayer(layer, i, { tree, folder, left, limits });
    left -= size;
    checked.push({ diffId: layer.diffId, size });
  }
  return checked;
}

type Checking = { tree: Tree; folder: string; left: number; limits: OciLimits };

async function checkLayer(
  layer: Layer,
  number: number,
  { tree, folder, left, limits }: Checking,
): Promise<number> {
  const what = `layer ${number + 1}`;
  const temporary = join(folder, 'layer');
  const [packed, plain] = [createHash('sha256'), createHash('sha256')];
  const file = await open(temporary, 'w', 0o600);
  let size = 0;
  const compressed = tap(bytesOf(layer.piece), (bytes) => void packed.update(bytes));
  const archive = tap(
    layer.compression === null
      ? compressed
      : Readable.from(compressed).compose(decompressor(layer.compression)),
    async (bytes) => {
      size += bytes.length;
      if (size > left)
        throw refused(
          'SERVICE_TOO_LARGE',
          `the layers hold more than ${limits.bytes} bytes, in ${what} at the latest`,
        );
      plain.update(bytes);
      await file.writeFile(bytes);
    },
  );
  try {
    for await (const entry of readTar(archive)) {
      try {
        tree.add(entry, number);
      } catch (cause) {
        throw refused(
          'SERVICE_LAYER',
          `${JSON.stringify(entry.name.slice(0, 200))} of ${what}: ${messageOf(cause)}`,
          cause,
        );
      }
    }
  } catch (cause) {
    // The disk's errors have a code of the system.
    if (cause instanceof BootwaveError || (cause as NodeJS.ErrnoException).syscall !== undefined) throw cause;
    throw refused('SERVICE_LAYER', `${what} cannot be read: ${messageOf(cause)}`, cause);
  } finally {
    await file.close();
  }
  mustBe(what, layer.digest, packed.digest('hex'));
  mustBe(`what is in ${what}`, layer.diffId, plain.digest('hex'));
  await rename(temporary, join(folder, layer.diffId));
  return size;
}

function mustBe(what: string, said: string | null, is: string): void {
  if (said === null || said === is) return;
  throw refused('SERVICE_DIGEST', `${what} has the SHA-256 ${is}, and is said to have ${said}`);
}

async function* tap(
  source: AsyncIterable<Uint8Array>,
  look: (bytes: Uint8Array) => void | Promise<void>,
): AsyncGenerator<Uint8Array> {
  for await (const bytes of source) {
    await look(bytes);
    yield bytes;
  }
}
