import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DataPaths } from '../../../base/paths.ts';
import { manifestSchema } from '../../../protocol/service/manifest.ts';
import { sha256 } from '../services/oci.ts';

/** As `pack` leaves it: what publishing looks at. */
export async function bundle(
  paths: DataPaths,
  service: string,
  version: string,
  content = `${service} ${version}`,
  memory = 2 ** 24,
) {
  await mkdir(paths.bundles, { recursive: true });
  const bytes = Buffer.alloc(8192, content);
  const file = join(paths.bundles, `making ${Math.random()}`);
  await writeFile(file, bytes);
  const manifest = manifestSchema.parse({ command: ['/x'], limits: { memory, cpu: 1, tasks: 1 } });
  const custom = {
    format: 1 as const,
    service,
    version,
    rootHash: sha256(Buffer.from(content)),
    dataBytes: 4096,
    manifest,
  };
  return { file, sha256: sha256(bytes), size: bytes.length, custom };
}
