import { createPublicKey, type KeyObject } from 'node:crypto';
import { BootwaveError, refusal } from '../../../base/error.ts';
import { rootPem } from '../../../keys/authority.ts';
import { issueOperator } from '../../../keys/operator.ts';
import type { Role } from '../../../keys/operator-roles.ts';
import { activeAuthority } from '../../authorities/on-disk.ts';
import { append } from '../../fleet/decisions/append.ts';
import { sealOperator } from '../../fleet/decisions/entry.ts';
import { knownOperators } from '../../operators/known.ts';
import { type Issued, OperatorRegister, type Registered } from '../../operators/register.ts';
import { liveSlice } from '../../slices/store.ts';
import type { Acting } from '../operation.ts';

const DAY = 86_400_000;
/** Milliseconds back: the clock of another machine may be slow. */
const EARLY = 300_000;

type Person = {
  name: string;
  role: Role;
  sites: string[];
  slices?: string[] | undefined;
  days: number;
  publicKey: string;
};

/** @throws BootwaveError `OPERATOR_INVALID`, `OPERATOR_KEY`, `SITE_UNKNOWN`, `SLICE_UNKNOWN`, `SLICE_ENDED`, `CA_NONE`, `KEYS_MISSING` */
export async function add(
  { name, role, sites, slices = [], days, publicKey }: Person,
  { fleet, paths, by, identity }: Acting,
): Promise<{ issued: Issued; chain: string }> {
  const from = new Date(by.at - EARLY);
  const until = new Date(by.at + days * DAY);
  const ca = await activeAuthority(paths, 'operators');
  const made = issueOperator(ca, { name, role, sites, slices }, keyIn(publicKey), from, until);
  const { serial, notBefore, notAfter, pem } = made;
  const via = identity.certificate?.serial;
  const given = {
    ...{ serial, name, role, sites, notBefore, notAfter, issuer: ca.id },
    ...(slices.length === 0 ? {} : { slices }),
  };
  const issued: Issued = via === undefined ? given : { ...given, via };
  for (const site of sites) await fleet.sites.get(site);
  for (const slice of slices) await liveSlice(fleet, slice);
  const whose = [...sites, ...slices];
  const what = whose.length === 0 ? role : `${role} of ${whose.join(', ')}`;
  const reason = `${name}, ${what}, until ${until.toISOString().slice(0, 10)}`;
  await fleet.audit.append({ ...by, action: 'add-operator', reason, detail: { serial } });
  // Last step: an unregistered certificate is not accepted.
  await new OperatorRegister(paths.keys).add(issued, by);
  // The root comes last: with it the holder can recognise a server of this fleet.
  return { issued, chain: pem + ca.chainPem + (await rootPem(paths.keys)) };
}

export const list = async (_: object, { paths }: Acting): Promise<Registered[]> => [
  ...(await knownOperators(paths)).register,
];

type Whom = { name: string; serial?: string | undefined; reason: string };

/** @throws BootwaveError `OPERATOR_UNKNOWN` */
export async function revoke(
  { name, serial, reason }: Whom,
  { fleet, bans, paths, by }: Acting,
): Promise<Registered[]> {
  const register = new OperatorRegister(paths.keys);
  const revoked = (await knownOperators(paths)).register.filter(
    (one) => one.name === name && one.revoked === null && (serial === undefined || one.serial === serial),
  );
  if (revoked.length === 0)
    throw refusal(
      'OPERATOR_UNKNOWN',
      `${name} has no certificate that could be revoked`,
      `'bootwave operator list' shows all of them`,
    );
  // First step: if the history cannot be written, the certificate must still be revoked.
  for (const one of revoked) await register.revoke(one.serial, { by: by.actor, at: by.at, reason });
  // Beside the keys and away from them: each corrects the other after a restored backup.
  for (const one of revoked) {
    const entry = sealOperator({ kind: 'operator', ...by, reason, name, serial: one.serial });
    await append(fleet, entry, by, `${name}: ${reason}`);
    await bans.keep(entry);
  }
  await bans.look();
  return revoked;
}

function keyIn(pem: string): KeyObject {
  try {
    const key = createPublicKey(pem);
    if (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return key;
  } catch {
    // As below.
  }
  throw new BootwaveError({
    code: 'OPERATOR_KEY',
    what: 'the key of the certificate is not one of ECDSA on P-256',
    unchanged: 'no certificate was made',
    next: 'use the command line of the version of the server',
  });
}
