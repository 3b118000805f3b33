/** The steps that replace the key that signs images, as far as files are concerned. */
import { createHash, createPrivateKey, generateKeyPair, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { type BootwaveError, refusal } from '../base/error.ts';
import { createFileAtomic } from '../base/files.ts';
import { spkiOf } from './authority.ts';
import { RSA_BITS, secureBootCertificate } from './init.ts';
import { keyLayout } from './layout.ts';
import { nextGeneration } from './secure-boot-lists.ts';
import {
  certificateId,
  type DbCertificate,
  type DbEntry,
  dbCertificates,
  readListsState,
  writeListsState,
} from './secure-boot-state.ts';

/** Who takes a step, when and why. `at` in milliseconds since the epoch. */
export type StepBy = Pick<DbEntry, 'reason' | 'by' | 'at'>;

/** Hex digits of the key's own id in a certificate's name. */
const NAME_DIGITS = 8;

/**
 * Makes the next db key, and a generation of the lists in which db holds its certificate beside the earlier ones. The
 * caller keeps others from changing the lists at the same time. One at a time: done twice, it has the effect of once.
 * @throws BootwaveError `SECURE_BOOT_DB_STATE` while an old certificate waits to be retired, and those of
 * `nextGeneration`; what is in force has not changed then
 */
export async function prepareDb(folder: string, step: StepBy): Promise<DbCertificate> {
  const all = await dbCertificates(folder);
  const waiting = all.find(({ state }) => state === 'next');
  if (waiting !== undefined) return waiting;
  const old = all.find(({ state }) => state === 'old');
  if (old !== undefined)
    throw stateError(
      `the db certificate ${old.id} is old and not retired`,
      'bootwave keys secure-boot retire',
    );
  const id = await makeDbKey(folder);
  const { revoked = [] } = (await readListsState(folder)) ?? {};
  const db = [...all.map(entryOf), { id, state: 'next' as const, ...step }];
  await nextGeneration(folder, { revoked, db }, step.at);
  return one(folder, 'next');
}

/** Images and loaders are signed with the prepared key from now on. @throws BootwaveError `SECURE_BOOT_DB_STATE` */
export async function activateDb(folder: string, step: StepBy): Promise<DbCertificate> {
  const all = await dbCertificates(folder);
  if (!all.some(({ state }) => state === 'next'))
    throw stateError('no db certificate is prepared', "bootwave keys secure-boot prepare --reason '...'");
  const db = moved(all, { next: 'current', current: 'old' }, step);
  // What db holds does not change, so nodes have nothing to be given.
  await writeListsState(folder, { ...(await readListsState(folder))!, db });
  return one(folder, 'current');
}

/** Makes a generation of the lists in which db holds only the current certificate. @throws as `prepareDb` */
export async function retireDb(folder: string, step: StepBy): Promise<DbCertificate> {
  const all = await dbCertificates(folder);
  const old = all.find(({ state }) => state === 'old');
  if (old === undefined) throw stateError('no db certificate is old', 'bootwave keys secure-boot show');
  const db = moved(all, { old: 'retired' }, step);
  const { revoked = [] } = (await readListsState(folder)) ?? {};
  await nextGeneration(folder, { revoked, db }, step.at);
  return (await dbCertificates(folder)).find(({ id }) => id === old.id)!;
}

/**
 * From now on a machine that shows a retired certificate is treated as foreign. @throws BootwaveError
 * `SECURE_BOOT_DB_STATE`
 */
export async function distrustDb(folder: string, step: StepBy): Promise<DbCertificate> {
  const all = await dbCertificates(folder);
  const retired = all.findLast(({ state }) => state === 'retired');
  if (retired === undefined)
    throw stateError('no db certificate is retired', 'bootwave keys secure-boot show');
  const db = moved(all, { retired: 'distrusted' }, step);
  await writeListsState(folder, { ...(await readListsState(folder))!, db });
  return (await dbCertificates(folder)).find(({ id }) => id === retired.id)!;
}

/** The key is written first: a certificate on disk always has its key. */
async function makeDbKey(folder: string): Promise<string> {
  const layout = keyLayout(folder).secureBoot;
  const owner = (await readFile(layout.owner, 'utf8')).trim();
  const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: RSA_BITS.secureBoot });
  const secret = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  const key = createPrivateKey(secret);
  // Its name differs from that of the certificate before it: a search for a signer by name must not find two.
  const own = createHash('sha256').update(spkiOf(key)).digest('hex').slice(0, NAME_DIGITS);
  const pem = secureBootCertificate(`db ${own}`, owner, key);
  const id = certificateId(new X509Certificate(pem).raw);
  const files = layout.dbKey(id);
  await createFileAtomic(files.key, secret);
  await createFileAtomic(files.certificate, pem, 0o644);
  return id;
}

async function one(folder: string, wanted: DbEntry['state']): Promise<DbCertificate> {
  return (await dbCertificates(folder)).find(({ state }) => state === wanted)!;
}

/** Each in its next state, where this step has one for it. */
function moved(
  all: readonly DbCertificate[],
  steps: { [S in DbEntry['state']]?: DbEntry['state'] },
  step: StepBy,
): DbEntry[] {
  return all.map((certificate) => {
    const state = steps[certificate.state];
    return state === undefined ? entryOf(certificate) : { id: certificate.id, state, ...step };
  });
}

const entryOf = ({ id, state, reason, by, at }: DbCertificate): DbEntry => ({ id, state, reason, by, at });

export function stateError(what: string, next: string): BootwaveError {
  return refusal('SECURE_BOOT_DB_STATE', what, next);
}
