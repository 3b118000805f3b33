import { generateKeyPairSync } from 'node:crypto';
import { appendFile, chmod, cp, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { dataPaths } from '../../../base/paths.ts';
import { loadAuthority } from '../../../keys/authority.ts';
import { issueOperator, type OperatorClaim } from '../../../keys/operator.ts';
import { byCertificate, byHost } from '../../../orchestrator/operators/identify.ts';
import { OperatorRegister } from '../../../orchestrator/operators/register.ts';
import { keysIn } from '../../support/keys.ts';
import { temporaryData } from '../fleet/support.ts';

const NOW = Date.now();
const HOUR = 3600_000;
const ANN: OperatorClaim = { name: 'ann', role: 'site-admin', sites: ['munich'] };
const BY = { actor: 'operator:root@host', at: NOW };

/** Keys of a fleet, the register, and a file that makes its holder ann. */
async function fleetKeys(t: ExecutionContext, fleet?: 'theirs') {
  const paths = await temporaryData(t);
  await keysIn(paths.keys, fleet);
  const register = new OperatorRegister(paths.keys);
  const give = async (claim = ANN, isRegistered = true) => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const [from, until] = [new Date(NOW - HOUR), new Date(NOW + HOUR)];
    const ca = await loadAuthority(paths.keys, 'operators');
    const { pem, serial, notBefore, notAfter } = issueOperator(ca, claim, privateKey, from, until);
    const issued = { ...claim, sites: [...claim.sites], serial, notBefore, notAfter };
    if (isRegistered) await register.add(issued, BY);
    const file = join(paths.root, `${serial}.pem`);
    const key = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
    await writeFile(file, key + pem + ca.chainPem, { mode: 0o600 });
    return { file, serial, key, pem };
  };
  return { paths, register, give };
}

test('who holds a certificate is who it says, until it is revoked; others of the same name are not touched', async (t) => {
  const { paths, register, give } = await fleetKeys(t);
  const [first, second] = [await give(), await give()];
  const ann = { actor: 'operator:ann', role: 'site-admin', sites: ['munich'] };
  t.like(await byCertificate(paths, first.file, NOW), ann);
  await register.revoke(first.serial, { by: 'x', at: NOW, reason: 'lost' });
  await t.throwsAsync(byCertificate(paths, first.file, NOW), {
    code: 'OPERATOR_REVOKED',
    message: /: lost/,
  });
  t.like(await byCertificate(paths, second.file, NOW), ann);
  await t.throwsAsync(byCertificate(paths, second.file, NOW + HOUR), { code: 'OPERATOR_EXPIRED' });
});

test('one that the register does not know, one of another fleet', async (t) => {
  const { paths, give } = await fleetKeys(t);
  const { file } = await give(ANN, false);
  await t.throwsAsync(byCertificate(paths, file, NOW), { code: 'OPERATOR_UNKNOWN' });
  const other = await fleetKeys(t, 'theirs');
  const foreign = await other.give({ name: 'eve', role: 'admin', sites: [] });
  await t.throwsAsync(byCertificate(paths, foreign.file, NOW), { code: 'OPERATOR_FOREIGN' });
});

test('a certificate with the key of another, a file that others can read, no file, no certificate', async (t) => {
  const { paths, give } = await fleetKeys(t);
  const [ann, bob] = [await give(), await give({ name: 'bob', role: 'viewer', sites: [] })];
  const file = join(paths.root, 'mixed.pem');
  await writeFile(file, bob.key + ann.pem, { mode: 0o600 });
  await t.throwsAsync(byCertificate(paths, file, NOW), { code: 'OPERATOR_PROOF' });
  for (const text of [ann.key, ann.pem, 'x', '']) {
    await writeFile(file, text);
    await t.throwsAsync(byCertificate(paths, file, NOW), { code: 'OPERATOR_FILE' });
  }
  await rm(file);
  await t.throwsAsync(byCertificate(paths, file, NOW), { code: 'OPERATOR_FILE' });
  await chmod(ann.file, 0o640);
  await t.throwsAsync(byCertificate(paths, ann.file, NOW), { code: 'OPERATOR_FILE' });
});

test('a revocation that a crash cut short counts once it is said again; a register nobody can read lets nobody in', async (t) => {
  const { paths, register, give } = await fleetKeys(t);
  const { file, serial } = await give();
  const revocation = { by: 'x', at: NOW, reason: 'lost' };
  await cp(register.path, `${register.path}.copy`);
  await register.revoke(serial, revocation);
  await truncate(register.path, (await stat(register.path)).size - 20);
  await register.revoke(serial, revocation);
  await t.throwsAsync(byCertificate(paths, file, NOW), { code: 'OPERATOR_REVOKED' });
  await cp(`${register.path}.copy`, register.path);
  await appendFile(register.path, '\n{"revoked":"of whom?"}\n');
  await t.throwsAsync(byCertificate(paths, file, NOW), { code: 'OPERATOR_REGISTER' });
  t.is((await byHost(paths)).role, 'admin', 'root can put it right');
});

test.serial('root needs no certificate, and cannot be taken for somebody who has one', async (t) => {
  const { paths, give } = await fleetKeys(t);
  await give();
  const before = process.env.SUDO_USER;
  t.teardown(() => {
    if (before === undefined) delete process.env.SUDO_USER;
    else process.env.SUDO_USER = before;
  });
  const actor = async () => (await byHost(paths)).actor;
  delete process.env.SUDO_USER;
  t.regex(await actor(), /^operator:[^@]+@[^@]+$/);
  process.env.SUDO_USER = 'bob';
  t.is(await actor(), 'operator:bob');
  process.env.SUDO_USER = 'ann';
  t.is(await actor(), `operator:ann@${hostname()}`);
  process.env.SUDO_USER = 'eve\n';
  t.is(await actor(), 'operator:eve?');
  t.is((await byHost(dataPaths(join(paths.root, 'not-there')))).role, 'admin');
});
