import { rm } from 'node:fs/promises';
import type { Placed, RequestedImage } from '../../../../protocol/agent/disk.ts';
import { type DownloadOptions, download } from './download.ts';

export type Staging = {
  version: string;
  /** Bytes. */
  done: number;
  total: number;
  /** Why it stopped; empty while it continues. */
  error: string;
};

export type StageParts = Pick<DownloadOptions, 'folder' | 'url' | 'pace' | 'mirrors'> & {
  /** Puts a complete download onto the disk: placeImage behind the helper, or the installation of a blank disk. */
  place(wanted: RequestedImage): Promise<Placed>;
};

/**
 * From the boot server, or a mirror, onto the disk. The agent, which has the network, fetches to the state partition; root, which has
 * none, looks at every byte again while it copies them onto the ESP.
 */
export async function stage(
  wanted: RequestedImage,
  parts: StageParts,
  signal: AbortSignal,
  onProgress: (done: number) => void,
): Promise<Placed> {
  const { place, ...options } = parts;
  const file = await download({ ...options, wanted, signal, onProgress });
  signal.throwIfAborted();
  const placed = await place(wanted);
  await rm(file, { force: true });
  return placed;
}
