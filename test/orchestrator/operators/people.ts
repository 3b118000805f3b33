/** Operators with real certificates, for tests of what two of them decide. */
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DataPaths } from '../../../base/paths.ts';
import type { Credential } from '../../../keys/credential.ts';
import { issueOperator, type OperatorClaim } from '../../../keys/operator.ts';
import { vote } from '../../../keys/vote.ts';
import { activeAuthority } from '../../../orchestrator/authorities/on-disk.ts';
import { OperatorRegister } from '../../../orchestrator/operators/register.ts';
import { makeWish, readWish } from '../../../orchestrator/operators/request.ts';
import type { Requests } from '../../../orchestrator/operators/requests.ts';

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

/** Asks as a person does: signs a text that says it in full. */
export async function asked(
  requests: Requests,
  who: Operator,
  operation: string,
  input: object,
  at: number,
  what?: string,
) {
  const reason = 'reason' in input ? String(input.reason) : '';
  const text = makeWish({
    ...{ operation, input: { ...input }, reason, actor: who.actor, at },
    ...(what === undefined ? {} : { what }),
  });
  return requests.ask(readWish(text)!, { text, vote: vote(who.credential, 'ask', text, at) });
}
