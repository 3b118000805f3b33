/** Operators with real certificates, for tests of what two of them decide. */
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DataPaths } from '../../../base/paths.ts';
import type { Credential } from '../../../keys/credential.ts';
import { issueOperator, type OperatorClaim } from '../../../keys/operator.ts';
import { activeAuthority } from '../../../orchestrator/authorities/on-disk.ts';
import { OperatorRegister } from '../../../orchestrator/operators/register.ts';

const DAY = 86_400_000;

export type Operator = { actor: string; credential: Credential; serial: string; file: string };

/** @param via serial of the certificate of whoever gives it; root by default */
export async function operatorOf(
  paths: DataPaths,
  claim: Partial<OperatorClaim> & { name: string },
  at: number,
  via?: string,
): Promise<Operator> {
  const whole: OperatorClaim = { role: 'core', sites: [], ...claim };
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const ca = await activeAuthority(paths, 'operators');
  const issued = issueOperator(ca, whole, privateKey, new Date(at - DAY), new Date(at + 30 * DAY));
  const { pem, serial, notBefore, notAfter } = issued;
  const given = { ...whole, sites: [...whole.sites], serial, notBefore, notAfter, issuer: ca.id };
  const by = { actor: 'operator:root@host', at };
  await new OperatorRegister(paths.keys).add(via === undefined ? given : { ...given, via }, by);
  const file = join(paths.root, `${serial}.pem`);
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  await writeFile(file, key + pem + ca.chainPem, { mode: 0o600 });
  const credential = { key: privateKey, certificate: new X509Certificate(pem) };
  return { actor: `operator:${whole.name}`, credential, serial, file };
}
