import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { hostname, userInfo } from 'node:os';
import { BootwaveError, messageOf } from '../../base/error.ts';
import type { DataPaths } from '../../base/paths.ts';
import { isProven, operatorRefusal, prove, readOperator } from '../../keys/operator.ts';
import type { Identity } from './judge.ts';
import { knownOperators } from './known.ts';
import { OperatorRegister } from './register.ts';

/**
 * Who stands behind a file with a certificate and its key (PEM, in any order): issued by our operators CA, in date, in
 * the register, not revoked, and the key signs a fresh nonce.
 * @param now milliseconds since the epoch
 * @throws BootwaveError `OPERATOR_FILE`, `OPERATOR_PROOF`, `OPERATOR_REVOKED`, `OPERATOR_UNKNOWN`, `OPERATOR_FOREIGN`,
 * `OPERATOR_EXPIRED`, `OPERATOR_USAGE`, `KEYS_MISSING`
 */
export async function byCertificate(paths: DataPaths, file: string, now: number): Promise<Identity> {
  const held = await credential(file);
  const { key, certificate } = held;
  const nonce = randomBytes(32);
  if (!isProven(certificate, nonce, prove(key, nonce)))
    throw operatorRefusal('OPERATOR_PROOF', `the key in ${file} does not belong to its certificate`);
  const { register, cas, trusted, tainted } = await knownOperators(paths);
  if (cas.length === 0) throw noAuthority(paths);
  const { name, role, sites, serial } = readOperator(certificate, trusted, now);
  const entry = register.find((one) => one.serial === serial);
  if (entry === undefined)
    throw operatorRefusal(
      'OPERATOR_UNKNOWN',
      `the certificate of ${name} is not in the register of operators`,
    );
  if (entry.revoked !== null) {
    const at = new Date(entry.revoked.at).toISOString();
    throw operatorRefusal(
      'OPERATOR_REVOKED',
      `the certificate of ${name} was revoked at ${at}: ${entry.revoked.reason}`,
    );
  }
  const old = tainted.some((ca) => certificate.checkIssued(ca));
  const identity = { actor: `operator:${name}`, role, sites, certificate: { serial, credential: held } };
  return old ? { ...identity, renew: true } : identity;
}

/**
 * Who needs no certificate: root, and whoever owns the data directory, because they hold the CA's key.
 * @throws BootwaveError `OPERATOR_MISSING`
 */
export async function byHost(paths: DataPaths): Promise<Identity> {
  const uid = process.getuid?.() ?? 0;
  // Where nothing is yet, nothing can be taken from anybody.
  const owner = await stat(paths.root).then(
    (status) => status.uid,
    () => uid,
  );
  if (uid !== 0 && uid !== owner)
    throw operatorRefusal(
      'OPERATOR_MISSING',
      `${paths.root} is not yours: only a certificate says who you are`,
    );
  const actor = hostActor();
  const register = new OperatorRegister(paths.keys);
  // A register that cannot be read must not keep root from putting it right.
  const taken = await register.list().then(
    (all) => all.some(({ name }) => actor === `operator:${name}`),
    () => !actor.includes('@'),
  );
  return { actor: taken ? `${actor}@${hostname()}` : actor, role: 'admin', sites: [] };
}

/**
 * `operator:root@host`; behind sudo the person, `operator:ann`, whose word root can give for anybody: where ann has
 * a certificate, `byHost` writes `operator:ann@host`, and the bare name stands for the certificate alone.
 */
export function hostActor(): string {
  const safe = (name: string) => name.replace(/[^\w.-]/g, '?');
  const { SUDO_USER } = process.env;
  return SUDO_USER ? `operator:${safe(SUDO_USER)}` : `operator:${safe(safeUser())}@${hostname()}`;
}

function safeUser(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? 'unknown');
  }
}

async function credential(file: string) {
  const wrong = (what: string, next = "name a file as 'bootwave operator add' makes it", cause?: unknown) =>
    new BootwaveError({ code: 'OPERATOR_FILE', what, unchanged: 'nothing was changed', next, cause });
  try {
    const [status, pem] = await Promise.all([stat(file), readFile(file, 'utf8')]);
    if ((status.mode & 0o077) !== 0) throw wrong(`${file} can be read by others`, `chmod 600 ${file}`);
    const certificate = new X509Certificate(pem.slice(Math.max(pem.indexOf('-----BEGIN CERTIFICATE'), 0)));
    return { certificate, key: createPrivateKey(pem) };
  } catch (cause) {
    if (cause instanceof BootwaveError) throw cause;
    throw wrong(`${file} is not a certificate with its key: ${messageOf(cause)}`, undefined, cause);
  }
}

function noAuthority(paths: DataPaths): BootwaveError {
  return new BootwaveError({
    code: 'KEYS_MISSING',
    what: `the certificate of the operators CA is not in ${paths.keys}`,
    next: "run 'bootwave keys init', which makes only what is missing",
  });
}
