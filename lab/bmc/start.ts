/** Starts a lab's BMCs, and says where they are. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
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
