/** The tree of hashes at the end of a bundle (dm-verity), made and checked without the kernel. */
import { stat } from 'node:fs/promises';
import { BootwaveError } from '../../base/error.ts';
import { mustRun, run } from '../../base/run.ts';
import { verityOptions } from '../../protocol/service/bundle.ts';

/** Appends it. @param file of whole blocks */
export async function appendTree(file: string): Promise<{ rootHash: string; dataBytes: number }> {
  const { size: dataBytes } = await stat(file);
  const { stdout } = await mustRun('veritysetup', ['format', ...verityOptions(dataBytes), file, file], {
    env: { ...process.env, LC_ALL: 'C' },
  });
  const rootHash = /^Root hash:\s+([0-9a-f]{64})$/m.exec(stdout)?.[1];
  if (rootHash === undefined) throw new Error(`veritysetup said no root hash: ${stdout}`);
  return { rootHash, dataBytes };
}

/** @throws BootwaveError `BUNDLE_DIFFERS` if any block differs from what the root hash says */
export async function checkTree(
  file: string,
  { rootHash, dataBytes }: { rootHash: string; dataBytes: number },
): Promise<void> {
  const { code, stderr } = await run('veritysetup', [
    'verify',
    ...verityOptions(dataBytes),
    file,
    file,
    rootHash,
  ]);
  if (code === 0) return;
  throw new BootwaveError({
    code: 'BUNDLE_DIFFERS',
    what: `${file} is not what its root hash says: ${stderr.trim().split('\n')[0] ?? ''}`,
    unchanged: 'nothing was published',
    next: "pack it anew: 'bootwave service pack'",
  });
}
