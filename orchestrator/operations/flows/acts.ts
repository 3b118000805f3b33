import { teams } from '../../../image/publish/teams.ts';
import { ownerOf, sliceOf } from '../../../protocol/service/name.ts';
import { type Found, findSenders, type Sender } from '../../flows/find.ts';
import { FlowStore } from '../../flows/store.ts';
import { knownOperators } from '../../operators/known.ts';
import { ownersOf } from '../../operators/register.ts';
import type { Acting } from '../operation.ts';

/**
 * `owner`: as in names of services; `team`: that releases there, null: none, as of the fleet's own; `people`: who owned the slice then in
 * which it ran, null: it was none's.
 */
export type Owned = Sender & { owner: string; team: string | null; people: string[] | null };
export type Who = Omit<Found, 'senders'> & {
  node: string;
  senders: Owned[];
  /** Up to when the node has told, milliseconds since the epoch; null: nothing, in that time. */
  heard: number | null;
  /** What was asked about, milliseconds since the epoch. */
  from: number;
  until: number;
  now: number;
};

type Asked = {
  from: string;
  to?: string | undefined;
  port?: number | undefined;
  protocol?: 'tcp' | 'udp' | undefined;
  at?: number | undefined;
  within: number;
};

/** @throws BootwaveError `NODE_UNKNOWN` */
export async function who(
  { from: word, to, port, protocol, at, within }: Asked,
  { fleet, paths, by }: Acting,
): Promise<Who> {
  const now = by.at;
  const { id, name } = await fleet.nodes.resolve(word);
  const [from, until] = [(at ?? now) - within * 1000, (at ?? now) + within * 1000];
  const lines = await new FlowStore(paths.flows).read(id, from, until, now);
  const { senders, ...rest } = findSenders(lines, { from, until, to, port, protocol }, now);
  const prefixes = new Map((await teams(paths)).map((team) => [team.prefix, team.name]));
  const { register } = await knownOperators(paths);
  const owned = senders.map((sender) => {
    const [owner, slice] = [ownerOf(sender.service), sliceOf(sender.service)];
    const people = slice === null ? null : ownersOf(register, slice, sender.from);
    return { ...sender, owner, people, team: prefixes.get(`services/${owner}`) ?? null };
  });
  const heard = lines.reduce<number | null>((last, line) => Math.max(last ?? 0, line.until), null);
  return { node: name, senders: owned, ...rest, heard, from, until, now };
}
