/** Starts a lab's BMCs, and says where they are. */

import { copyFile, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exists } from '../../base/files.ts';
import { serviceOf, startService } from '../service.ts';
import { serviceLog } from '../state.ts';
import { bmcNamespace, createBmcNetwork } from './network.ts';

/** The service beside the nodes, as `lab status` names it. */
export const BMC = 'bmc';
/** The administrator of each; the password is the lab's own. */
export const BMC_USER = 'bootwave';

export function bmcFiles(labFolder: string) {
  const folder = join(labFolder, 'bmc');
  return {
    folder,
    password: join(folder, 'password'),
    control: join(folder, 'control'),
    key: join(folder, 'key.pem'),
    certificate: join(folder, 'cert.pem'),
  };
}

/** What a BMC is known by: a lab that goes on from a saved one has the password and the certificate that its server knows. */
export async function copyBmcs(from: string, to: string): Promise<void> {
  const [theirs, ours] = [bmcFiles(from), bmcFiles(to)];
  await mkdir(ours.folder, { recursive: true, mode: 0o700 });
  for (const name of ['password', 'key', 'certificate'] as const)
    if (await exists(theirs[name])) await copyFile(theirs[name], ours[name]);
}

/** @param namespace of the nodes */
export async function startBmcs(
  folder: string,
  namespace: string,
  nodes: number,
  signal?: AbortSignal,
): Promise<void> {
  await createBmcNetwork(namespace, nodes);
  const ready = async () => {
    const log = await readFile(serviceLog(folder, BMC), 'utf8').catch(() => '');
    return log.includes('ready') && (await serviceOf(folder, BMC)) !== undefined;
  };
  const args = [join(import.meta.dirname, 'serve.ts'), folder];
  const options = { ready, ...(signal === undefined ? {} : { signal }) };
  await startService(folder, bmcNamespace(namespace), BMC, process.execPath, args, options);
}
