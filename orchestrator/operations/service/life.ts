/** What people say about the life of a version. */
import { fullServiceVersion } from '../../../protocol/service/name.ts';
import { isStopped } from '../../rollout/run/by-itself.ts';
import { checkTemplateOf, drainsOf, endOrphans } from '../../rollout/run/retire.ts';
import { checkRetirement, type LifeState, mustBeAnother, stateOf, type Word } from '../../services/life.ts';
import { decideLife } from '../../services/lives.ts';
import type { Acting } from '../operation.ts';
import { personOf } from '../rollout/acts.ts';
import { serviceIn } from './named.ts';
import { everything, mustBeKnown, type Shown, shownOf } from './shown.ts';

type Named = { service: string; reason?: string | undefined };

/** `before`: what it was. `changed`: false where it was said already. */
export type Decided = Shown & { before: LifeState; changed: boolean };

/** Also of a version that is not released yet: it is in preview from its first moment. */
export const preview = ({ service, reason = '' }: Named, acting: Acting) =>
  decide(acting, service, { ...NOTHING, state: 'preview', reason }, { isKnown: true });

export const promote = ({ service, reason = '' }: Named, acting: Acting) =>
  decide(acting, service, { ...NOTHING, state: 'current', reason });

/** @throws BootwaveError `SERVICE_UNKNOWN`, `SERVICE_SUCCESSOR` */
export const deprecate = async (
  { service, successor, reason = '' }: Named & { successor?: string | undefined },
  acting: Acting,
) => {
  const next = successor === undefined ? null : fullServiceVersion(serviceIn(successor));
  if (next !== null) mustBeAnother(fullServiceVersion(serviceIn(service)), next);
  return decide(acting, service, { ...NOTHING, state: 'deprecated', successor: next, reason });
};

const NOTHING = { successor: null, on: null, template: null };

type Retiring = Named & { successor: string; on: number; template?: string | undefined; dryRun: boolean };

/** @throws BootwaveError `SERVICE_UNKNOWN`, `SERVICE_DATE`, `SERVICE_SUCCESSOR`, `TEMPLATE_UNKNOWN` */
export async function retire(
  { service: text, successor, on, template, reason = '', dryRun }: Retiring,
  acting: Acting,
): Promise<Decided> {
  const service = serviceIn(text);
  const full = fullServiceVersion(service);
  const next = fullServiceVersion(serviceIn(successor));
  const house = await everything(acting);
  await mustBeKnown(service, house, acting.paths);
  const released = new Set(house.released.map(fullServiceVersion));
  const rules = { now: acting.by.at, known: house.lives, released };
  checkRetirement({ service: full, successor: next, on }, rules);
  const word = { state: 'deprecated' as const, successor: next, on, template: template ?? null, reason };
  await checkTemplateOf(acting.fleet, { service: full, ...word });
  if (!dryRun) {
    const life = house.lives.get(full);
    const last = life === undefined ? undefined : (await drainsOf(acting.fleet, life)).at(-1);
    // Said once more although nothing of it is new: what people or the engine have ended begins anew.
    const again = last !== undefined && isStopped(last);
    return decide(acting, text, word, { isKnown: true, again });
  }
  const before = stateOf(house.lives.get(full), acting.by.at);
  return { ...(await shownOf(service, house, acting, word)), before, changed: false };
}

async function decide(
  acting: Acting,
  text: string,
  word: Word,
  { isKnown = false, again = false } = {},
): Promise<Decided> {
  const { fleet, by, log } = acting;
  const service = serviceIn(text);
  if (!isKnown) await mustBeKnown(service, await everything(acting), acting.paths);
  const person = await personOf(acting);
  const { before, changed } = await decideLife(
    fleet,
    fullServiceVersion(service),
    word,
    { ...by, person },
    again,
  );
  // Rollouts that rest on what was said before end here, so that none of them begins another node.
  if (changed) await endOrphans({ redis: fleet.redis, fleet }, log);
  const shown = await shownOf(service, await everything(acting), acting);
  if (changed) tell(log, shown);
  return { ...shown, before: stateOf(before, by.at), changed };
}

/** Owners and dependants read the log of the server and its history; nothing else of theirs is known here. */
function tell(
  log: Acting['log'],
  { state, successor, affected: { owner, dependants }, ...one }: Shown,
): void {
  if (state !== 'deprecated' && state !== 'obsolete') return;
  const service = fullServiceVersion(one);
  log.warn(
    { code: 'SERVICE_ENDS', service, successor, owner, dependants: dependants.map((each) => each.service) },
    `${service} is ${state}`,
  );
}
