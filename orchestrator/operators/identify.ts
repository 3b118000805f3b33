import { randomBytes, type X509Certificate } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { BootwaveError } from '../../base/error.ts';
import type { DataPaths } from '../../base/paths.ts';
import { isProven, prove, readCredential } from '../../keys/credential.ts';
import { operatorRefusal, readOperator } from '../../keys/operator.ts';
import { type HostUser, hostUser } from './host-user.ts';
import type { Identity } from './judge.ts';
import { knownOperators } from './known.ts';
import { OperatorRegister, registered } from './register.ts';

/**
 * The operator of a file with a certificate and its key, as this process reads it: the key signs a fresh nonce, and the
 * rest is `ofCertificate`'s.
 * @param now milliseconds since the epoch
 * @throws BootwaveError `OPERATOR_FILE`, `OPERATOR_PROOF`, and what `ofCertificate` throws
 */
export async function byCertificate(paths: DataPaths, file: string, now: number): Promise<Identity> {
  const { key, certificate } = await readCredential(file);
  const nonce = randomBytes(32);
  return byProof(paths, { certificate, nonce, proof: prove(key, nonce) }, now);
}

/** The signer of the nonce that this process has just made. @throws as `byCertificate` */
export async function byProof(
  paths: DataPaths,
  { certificate, nonce, proof }: { certificate: X509Certificate; nonce: Uint8Array; proof: Uint8Array },
  now: number,
): Promise<Identity> {
  if (!isProven(certificate, nonce, proof))
    throw operatorRefusal('OPERATOR_PROOF', 'the key does not belong to the certificate');
  return ofCertificate(paths, certificate, now);
}

/**
 * The operator that a certificate names, after its key was proved: issued by our operators CA, not expired, in the
 * register, not revoked.
 * @throws BootwaveError `OPERATOR_REVOKED`, `OPERATOR_UNKNOWN`, `OPERATOR_FOREIGN`, `OPERATOR_EXPIRED`,
 * `OPERATOR_USAGE`, `KEYS_MISSING`
 */
export async function ofCertificate(
  paths: DataPaths,
  certificate: X509Certificate,
  now: number,
): Promise<Identity> {
  const { register, cas, trusted, tainted } = await knownOperators(paths);
  if (cas.length === 0) throw noAuthority(paths);
  const { name, role, sites, slices, serial } = readOperator(certificate, trusted, now);
  const entry = registered(register, serial, name);
  if (entry.revoked !== null) {
    const at = new Date(entry.revoked.at).toISOString();
    throw operatorRefusal(
      'OPERATOR_REVOKED',
      `the certificate of ${name} was revoked at ${at}: ${entry.revoked.reason}`,
    );
  }
  const old = tainted.some((ca) => certificate.checkIssued(ca));
  const identity = {
    ...{ actor: `operator:${name}`, role, sites, certificate: { serial } },
    ...(slices && { slices }),
  };
  return old ? { ...identity, renew: true } : identity;
}

/**
 * Users who need no certificate: root, and the owner of the data directory, because they have the CA's key.
 * @throws BootwaveError `OPERATOR_MISSING`
 */
export async function byHost(paths: DataPaths): Promise<Identity> {
  const uid = process.getuid?.() ?? 0;
  // If nothing exists yet, there is nothing to protect.
  const owner = await stat(paths.root).then(
    (status) => status.uid,
    () => uid,
  );
  if (uid !== 0 && uid !== owner)
    throw operatorRefusal(
      'OPERATOR_MISSING',
      `${paths.root} is not yours: only a certificate says who you are`,
    );
  return ofHost(paths, hostUser());
}

/**
 * `operator:root@host`; behind sudo the person, `operator:ann`. Root can claim any name: if ann has a certificate, this
 * is `operator:ann@host`, and the bare name means the certificate only.
 * @param user as they name themselves; they could open what only root and the owner can
 */
export async function ofHost(paths: DataPaths, { sudo, user }: HostUser): Promise<Identity> {
  const safe = (name: string) => name.replace(/[^\w.-]/g, '?').slice(0, 64);
  const actor = sudo ? `operator:${safe(sudo)}` : `operator:${safe(user)}@${hostname()}`;
  // A register that cannot be read must not keep root from repairing it.
  const taken = await new OperatorRegister(paths.keys).list().then(
    (all) => all.some(({ name }) => actor === `operator:${name}`),
    () => !actor.includes('@'),
  );
  return { actor: taken ? `${actor}@${hostname()}` : actor, role: 'admin', sites: [] };
}

function noAuthority(paths: DataPaths): BootwaveError {
  return new BootwaveError({
    code: 'KEYS_MISSING',
    what: `the certificate of the operators CA is not in ${paths.keys}`,
    next: "run 'bootwave keys init', which makes only what is missing",
  });
}
