import { readEntry } from '../fleet/decisions/entry.ts';
import { BREAK_GLASS, LIFT, lastsOf } from './request.ts';
import type { Request } from './requests.ts';

/**
 * All that a signature under a request covers, read only from the signed text itself.
 * @returns for each line its label and its value, as written: not made harmless for a terminal
 */
export function inFull({ id, wish }: Pick<Request, 'id' | 'wish'>): [label: string, text: string][] {
  const time = (at: number) => new Date(at).toISOString();
  const common: [string, string][] = [
    ['request', id],
    ['asked by', wish.actor],
    ['asked at', time(wish.at)],
    ['to be approved until', time(wish.expires)],
    ['reason', wish.reason],
  ];
  if (wish.operation === BREAK_GLASS) {
    const minutes = Math.round(lastsOf(wish) / 60_000);
    return [
      ['what', `${wish.actor} may do for ${minutes} minutes what admins may, as far as break-glass goes`],
      ...common,
    ];
  }
  if (wish.operation !== LIFT) {
    const fields = Object.entries(wish.input).map(([name, value]): [string, string] => [
      name,
      JSON.stringify(value),
    ]);
    return [['what', wish.operation], ...fields, ...common];
  }
  const about = String(wish.input.ban);
  const ban = readEntry(wish.what ?? '');
  if (ban?.kind !== 'ban')
    return [['what', `lift ban ${about}; the request says nothing about that ban`], ...common];
  return [
    ['what', `lift ban ${about}`],
    ['banned', ban.name ?? 'no node that was known'],
    ...ban.nodes.map((node): [string, string] => ['node', node]),
    ...ban.keys.map((key): [string, string] => ['key', key]),
    ['certificates', `${ban.serials.length}, which stay revoked`],
    ['banned by', ban.actor],
    ['banned at', time(ban.at)],
    ['because', ban.reason],
    ...common,
  ];
}
