import { BootwaveError } from '../../../base/error.ts';
import { serialOf } from '../../../keys/operator.ts';
import { append } from '../../fleet/decisions/append.ts';
import { sealDenial } from '../../fleet/decisions/entry.ts';
import { inFull } from '../../operators/in-full.ts';
import { knownOperators } from '../../operators/known.ts';
import { BREAK_GLASS, LIFT, lastsOf } from '../../operators/request.ts';
import { type Request, Requests } from '../../operators/requests.ts';
import type { Acting, Prepared } from '../operation.ts';

export type RequestView = ReturnType<typeof view>;

export async function list({ all }: { all: boolean }, { fleet, by, paths }: Acting): Promise<RequestView[]> {
  const found = await new Requests(fleet.redis, await knownOperators(paths)).list(by.at);
  return (all ? found : found.filter(isLive)).map(view);
}

export async function show({ request: word }: { request: string }, { fleet, by, paths }: Acting) {
  const found = await new Requests(fleet.redis, await knownOperators(paths)).open(word, by.at, true);
  return { ...view(found), text: found.record.text, lines: inFull(found) };
}

export async function approve({ request: id }: { request: string }, { approval }: Acting) {
  const { request, done } = await approval(id);
  return { request: view(request), done };
}

export async function deny(
  { request, reason }: { request: string; reason: string },
  { fleet, bans, by, paths }: Acting,
): Promise<RequestView> {
  const requests = new Requests(fleet.redis, await knownOperators(paths));
  const { id, wish, record } = await requests.open(request, by.at, true);
  // First where Redis cannot undo it.
  const denial = sealDenial({ kind: 'denial', ...by, reason, request: id });
  const what = record.state === 'approved' ? 'ended' : 'denied';
  await append(fleet, denial, by, `${wish.operation} of ${wish.actor} ${what}: ${reason}`);
  await bans.keep(denial);
  return view(await requests.deny(id, reason, by));
}

type Glass = { minutes: number; reason: string };

/** @throws BootwaveError `BREAK_GLASS_ADMIN` */
export async function prepareBreakGlass(
  input: Glass,
  { identity }: Acting,
): Promise<Prepared<Glass, object>> {
  if (identity.role !== 'admin') return { input };
  throw new BootwaveError({
    code: 'BREAK_GLASS_ADMIN',
    what: 'your certificate is that of an admin',
    unchanged: 'nothing was asked',
    next: 'do what you want to do',
  });
}

/** The approved request is what counts (operators/break-glass.ts). */
export async function breakGlass(): Promise<object> {
  return {};
}

const isLive = ({ standing }: Request) => standing === 'pending' || standing === 'in force';

function view({ id, wish, standing, record }: Request) {
  const { operation, input, reason, actor, at, expires } = wish;
  const { closed, approve } = record;
  const lasts = lastsOf(wish);
  const until = standing === 'in force' && approve !== null ? approve.at + lasts : null;
  // As it was shown before requests named operations.
  const kind = operation === LIFT ? 'lift' : operation;
  const about =
    operation === LIFT
      ? String(input.ban)
      : operation === BREAK_GLASS
        ? (serialOf(record.ask.certificate) ?? '')
        : '';
  const told = { reason, actor, at, expires, standing, until, closed };
  return { id, operation, input, kind, about, lasts, ...told };
}
