import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { keyLayout, type SecureBootVariable } from './layout.ts';

/** DER of the certificates that the fleet writes into its machines' Secure Boot variables. */
export async function readSecureBootKeys(folder: string): Promise<Record<SecureBootVariable, Uint8Array[]>> {
  const { variables } = keyLayout(folder).secureBoot;
  const read = async (name: SecureBootVariable) => [
    new X509Certificate(await readFile(variables[name].certificate)).raw,
  ];
  const [PK, KEK, db] = await Promise.all([read('PK'), read('KEK'), read('db')]);
  return { PK, KEK, db };
}
