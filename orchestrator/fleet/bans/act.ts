/** What people do with bans. */
import { BootwaveError, refusal } from '../../../base/error.ts';
import type { By } from '../acting.ts';
import { append } from '../decisions/append.ts';
import { type Ban, type Entry, sealBan } from '../decisions/entry.ts';
import { appendOp } from '../decisions/log.ts';
import type { Fleet } from '../fleet.ts';
import { KEYS } from '../keys.ts';
import type { NodeRecord } from '../record.ts';
import { isMember } from '../transitions.ts';
import { fence, revoke } from './fence.ts';
import type { BanSet } from './set.ts';

/** Whole ids; a machine may be banned before this fleet has ever seen it. */
const WHOLE_ID = /^(tpm|dev)-[0-9a-f]{64}$/;

/**
 * Bans a machine: its TPM, and every certificate that is known to have been issued for it. The ban and the node's
 * quarantine are one commit.
 * @param word name, MAC, serial number or id of a node; a whole id without a record is banned as well
 * @returns `fresh` false: it was banned before, and that ban stays
 * @throws BootwaveError `NODE_UNKNOWN`, `NODE_AMBIGUOUS`
 */
export async function banNode(
  fleet: Fleet,
  set: BanSet,
  word: string,
  reason: string,
  by: By,
): Promise<{ ban: Ban; fresh: boolean }> {
  const id = WHOLE_ID.test(word) ? word : (await fleet.nodes.resolve(word)).id;
  const standing = set.banOf({ id });
  const record = await fleet.nodes.get(id);
  if (standing !== null && (record === null || !isMember(record.state)))
    return { ban: standing, fresh: false };
  const issued = await certifiedSerials(fleet, id);
  const make = (record: NodeRecord | null) => {
    const current = record?.identity.certificateSerial ?? null;
    const serials = new Set([...issued, ...(current === null ? [] : [current])]);
    const name = record?.name ?? null;
    return sealBan({ kind: 'ban', ...by, reason, name, nodes: [id], serials: [...serials], keys: [] });
  };
  return { ban: await impose(fleet, id, make, fence, by), fresh: true };
}

/**
 * Bans one certificate and the key that it is for, not the machine: after a restart, with a new key, it may come back.
 * @param text hex digits, with or without colons
 * @throws BootwaveError `SERIAL_INVALID`
 */
export async function banSerial(
  fleet: Fleet,
  set: BanSet,
  text: string,
  reason: string,
  by: By,
): Promise<{ ban: Ban; fresh: boolean }> {
  const serial = text.trim().toLowerCase().replaceAll(':', '');
  // RFC 5280 4.1.2.2: at most 20 octets.
  if (!/^[0-9a-f]{1,40}$/.test(serial)) {
    throw new BootwaveError({
      code: 'SERIAL_INVALID',
      what: `'${text}' is not the serial number of a certificate`,
      unchanged: 'nobody was banned',
      next: `'bootwave node show NODE' has the serial of its certificate`,
    });
  }
  const standing = set.banOf({ serial });
  if (standing !== null) return { ban: standing, fresh: false };
  const owner = await fleet.redis.hget(KEYS.certificates, serial);
  const holds = (record: NodeRecord | null) =>
    record?.identity.certificateSerial === serial || record?.identity.previousSerial === serial;
  const make = (record: NodeRecord | null) => {
    const keys = record !== null && holds(record) ? [record.identity.spkiDigest] : [];
    const name = keys.length === 0 ? null : (record?.name ?? null);
    return sealBan({ kind: 'ban', ...by, reason, name, nodes: [], serials: [serial], keys });
  };
  const change: typeof fence = (record, ban, who) =>
    holds(record) ? revoke(record, ban, who) : { kind: 'same' };
  return { ban: await impose(fleet, owner, make, change, by), fresh: true };
}

/** @throws BootwaveError `BAN_UNKNOWN`, `BAN_AMBIGUOUS` */
export function findBan(set: BanSet, word: string): Ban {
  const fits = word === '' ? [] : set.bans.filter(({ id }) => id.startsWith(word.toLowerCase()));
  const [ban] = fits;
  if (ban !== undefined && fits.length === 1) return ban;
  throw refusal(
    ban === undefined ? 'BAN_UNKNOWN' : 'BAN_AMBIGUOUS',
    ban === undefined ? `there is no ban '${word}'` : `'${word}' fits ${fits.length} bans`,
    `'bootwave ban list' shows all of them`,
  );
}

/**
 * Fences the nodes of a ban that are members according to Redis, as after the restore of a backup.
 * @returns whether there were any
 */
export async function refence(fleet: Fleet, ban: Ban, by: By): Promise<boolean> {
  let found = false;
  for (const id of ban.nodes) {
    const done = await fleet.nodes.update(id, (record) => {
      const loose = record !== null && (isMember(record.state) || record.state === 'pending');
      return { outcome: loose ? fence(record, ban, by) : { kind: 'same' } };
    });
    found ||= done.kind === 'changed';
  }
  return found;
}

/** One commit: the entry, and the change of the record if there is one. */
async function impose(
  fleet: Fleet,
  id: string | null,
  make: (record: NodeRecord | null) => Ban,
  change: typeof fence,
  by: By,
): Promise<Ban> {
  let ban = make(null);
  const seal = await fleet.decisionLog.sealer();
  if (id !== null) {
    const done = await fleet.nodes.update(id, (record) => {
      ban = make(record);
      const outcome = record === null ? ({ kind: 'same' } as const) : change(record, ban, by);
      return { outcome, extras: { ops: [appendOp(ban, seal(ban.text))] } };
    });
    if (done.kind === 'changed') return ban;
  }
  await append(fleet, ban, by, `banned: ${ban.reason}`, id ?? undefined);
  return ban;
}

/** All that was ever issued to the node, according to its history: each certificate may still be valid. */
export async function certifiedSerials(fleet: Fleet, node: string): Promise<string[]> {
  const history = await fleet.audit.read({ node });
  return history.flatMap(({ action, detail }) =>
    action === 'certify' && detail?.serial !== undefined ? [detail.serial] : [],
  );
}

/** Adds an entry again that this server has seen and that is missing in Redis, and fences its nodes again. */
export async function restore(fleet: Fleet, set: BanSet, entry: Entry, by: By): Promise<void> {
  await append(fleet, entry, by, `${entry.kind} ${entry.id} was missing in Redis and is put back`);
  if (entry.kind === 'ban' && !set.isLifted(entry.id)) await refence(fleet, entry, by);
}
