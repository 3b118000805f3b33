/** Releases one version after another until it is killed. */
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { dataPaths } from '../../../base/paths.ts';
import { makingIn } from '../../../image/publish/bundles.ts';
import { releaseService } from '../../../image/publish/services.ts';
import { manifestSchema } from '../../../protocol/service/manifest.ts';

const paths = dataPaths(process.argv[2]);
const manifest = manifestSchema.parse({ command: ['/x'], limits: { memory: 2 ** 24, cpu: 1, tasks: 1 } });
console.log('begun');
for (let i = 0; ; i += 1)
  await makingIn(paths.bundles, async (folder) => {
    const version = `${process.pid}.${i}`;
    const bytes = Buffer.alloc(8192, version);
    const file = join(folder, 'bundle');
    await writeFile(file, bytes);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const custom = {
      format: 1 as const,
      service: 'fleet/y',
      version,
      rootHash: sha256,
      dataBytes: 4096,
      manifest,
    };
    await releaseService({ file, sha256, size: bytes.length, custom }, { paths });
  });
