import { generateKeyPairSync } from 'node:crypto';
import { BootwaveError } from '../../base/error.ts';
import { createFileAtomic, exists } from '../../base/files.ts';

/**
 * A file with a new key and its certificate. The key is made here and never leaves this machine.
 * @param issued has the key's certificate @throws BootwaveError `OPERATOR_FILE`
 */
export async function newOperatorFile<T extends { chain: string }>(
  file: string,
  issued: (publicKey: string) => Promise<T>,
): Promise<T> {
  if (await exists(file)) throw there(file);
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const done = await issued(publicKey.export({ type: 'spki', format: 'pem' }) as string);
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' });
  if (!(await createFileAtomic(file, `${key}${done.chain}`))) throw there(file);
  return done;
}

function there(file: string): BootwaveError {
  return new BootwaveError({
    code: 'OPERATOR_FILE',
    what: `${file} is there already`,
    unchanged: 'no certificate was given',
    next: 'name another with --out',
  });
}
