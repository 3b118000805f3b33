import { BootwaveError } from '../../../base/error.ts';
import type { By } from '../../fleet/acting.ts';
import { banNode, banSerial, findBan } from '../../fleet/bans/act.ts';
import type { Ban } from '../../fleet/decisions/entry.ts';
import { liftOf } from '../../operators/lifts.ts';
import type { Request } from '../../operators/requests.ts';
import type { Acting, Prepared } from '../operation.ts';

/** Without the text whose hash is its id. */
export type ShownBan = Omit<Ban, 'text'>;
export type BanView = ShownBan & { lifted: boolean; lifts: { at: number; actor: string; reason: string }[] };

type Target = { node?: string | undefined; serial?: string | undefined; reason: string };

/** @throws BootwaveError `BAN_TARGET`, and what `banNode` and `banSerial` throw */
export async function add({ node, serial, reason }: Target, { fleet, bans, by }: Acting) {
  await bans.look();
  const done =
    node !== undefined && serial === undefined
      ? await banNode(fleet, bans.set, node, reason, by)
      : serial !== undefined && node === undefined
        ? await banSerial(fleet, bans.set, serial, reason, by)
        : null;
  if (done === null)
    throw new BootwaveError({
      code: 'BAN_TARGET',
      what: 'a ban is of a node or of a certificate',
      unchanged: 'nobody was banned',
      next: 'name a node, or give --serial',
    });
  // It is in this machine's journal before anybody is told that it is in force, whatever Redis does with it.
  await bans.keep(done.ban);
  await bans.look();
  return { ban: shown(done.ban), fresh: done.fresh };
}

export async function list(_: object, { bans }: Acting) {
  await bans.look();
  const { set } = bans;
  const views = [...set.bans]
    .sort((a, b) => b.at - a.at)
    .map((ban) => ({
      ...shown(ban),
      lifted: set.isLifted(ban.id),
      lifts: set.liftsOf(ban.id).map(({ at, actor, reason }) => ({ at, actor, reason })),
    }));
  return { revision: set.revision, bans: views };
}

type Lifting = { ban: string; reason: string };

/** @throws BootwaveError `BAN_UNKNOWN`, `BAN_AMBIGUOUS` */
export async function prepareLift(
  { ban: word, reason }: Lifting,
  { bans }: Acting,
): Promise<Prepared<Lifting, { ban: ShownBan; lifted: boolean }>> {
  await bans.look();
  const ban = findBan(bans.set, word);
  return bans.set.isLifted(ban.id)
    ? { result: { ban: shown(ban), lifted: true } }
    : { input: { ban: ban.id, reason }, what: ban.text, shown: shown(ban) };
}

export const effectOfLift = (request: Request, by: By, { bans }: Acting) =>
  liftOf(
    request,
    by,
    bans.set.bans.find(({ id }) => id === request.wish.input.ban),
  );

/** The commit that approved it lifts it. */
export async function lift({ ban }: Lifting, { bans }: Acting) {
  await bans.look();
  return { ban: shown(findBan(bans.set, ban)), lifted: bans.set.isLifted(ban) };
}

function shown({ text: _, ...ban }: Ban): ShownBan {
  return ban;
}
