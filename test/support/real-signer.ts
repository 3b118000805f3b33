/** The signer that `bootwave up` runs, on a disk of the test's own: no test signs orders by other rules than the fleet does. */
import type { KeyObject } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createLogger } from '../../base/log.ts';
import type { DataPaths } from '../../base/paths.ts';
import { manifestFile } from '../../image/build/manifest.ts';
import { keyLayout } from '../../keys/layout.ts';
import { simManifest } from '../../lab/sim/images.ts';
import { SignerClient } from '../../orchestrator/signer/client.ts';
import { recordConsent } from '../../orchestrator/signer/consents.ts';
import { signerFiles } from '../../orchestrator/signer/files.ts';
import { SIGNER_LIMITS } from '../../orchestrator/signer/judge.ts';
import { serveSigner } from '../../orchestrator/signer/serve.ts';

type Facts = Readonly<Record<string, { sha256: string; size: number }>>;

export type RealSigner = {
  /** Its socket, for orchestrators in processes of their own. */
  socket: string;
  client: SignerClient;
  says(word: Parameters<typeof recordConsent>[1]): Promise<void>;
  /** Of a configuration that was published without the command that says so. */
  knows(config: { sha256: string; version: string }): Promise<void>;
  close(): Promise<void>;
};

const BY = { actor: 'operator:test', at: 1 };

/**
 * @param images what is published; a manifest that lies there already stays
 * @param now milliseconds since the epoch
 */
export async function realSigner(
  paths: DataPaths,
  orderKey: KeyObject,
  images: Facts,
  now: () => number = Date.now,
): Promise<RealSigner> {
  const { key } = keyLayout(paths.keys).order;
  await mkdir(dirname(key), { recursive: true });
  await writeFile(key, orderKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  await mkdir(paths.images, { recursive: true });
  for (const [version, { sha256, size }] of Object.entries(images)) {
    await writeFile(
      manifestFile(paths.images, version),
      JSON.stringify({ ...simManifest(version), sha256, size }),
      {
        flag: 'wx',
      },
    ).catch(() => {});
  }
  const stop = new AbortController();
  const log = createLogger('test', 'silent');
  const limits = { ...SIGNER_LIMITS, wipesPerHour: 1_000 };
  const { done } = await serveSigner({ paths, limits, log, signal: stop.signal, now });
  const { socket, consents } = signerFiles(paths);
  const client = new SignerClient(socket);
  const says = (word: Parameters<typeof recordConsent>[1]) =>
    recordConsent(consents, word, { ...BY, at: now() });
  return {
    socket,
    client,
    says,
    knows: ({ sha256, version }) => says({ say: 'config', sha256, version }),
    async close() {
      client.close();
      stop.abort();
      await done;
    },
  };
}
