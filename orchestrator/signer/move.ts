/** Whether somebody has decided that a node runs an image. Pure; about versions, not about which nodes. */
import type { Order } from '../../protocol/order.ts';
import type { Decided } from './decisions.ts';
import type { Signed } from './ledger.ts';
import { unsigned } from './unsigned.ts';

/** Milliseconds from its first order, or from a person's word, within which the image of an installation may still change. */
export const INSTALL_LASTS = 7 * 24 * 3600_000;

/** What is known of the node before this order. */
export type Had = {
  /** The image that it was moved to last; null: none is known. */
  version: string | null;
  /** When that was, milliseconds since the epoch. */
  since: number;
  /** It was given it as new hardware is, and no rollout has moved it since. */
  fresh: boolean;
  /** It was signed before there were decisions about rollouts: another server may have moved the node since. */
  isOld: boolean;
};

/**
 * @param shown what another server of the fleet has signed for this node
 * @param begunAt when decisions about rollouts began, milliseconds since the epoch
 */
export function hadOf(last: Signed | null, shown: Order | null, begunAt: number): Had {
  if (shown !== null && shown.image !== null && shown.epoch > (last?.epoch ?? 0))
    // An order does not say whether it began an installation. This signer takes it for one unless it knows better.
    return {
      ...{ version: shown.image.version, since: shown.issuedAt, isOld: false },
      fresh: last?.moved?.fresh ?? last === null,
    };
  if (last?.moved !== undefined) return { ...last.moved, isOld: last.at < begunAt };
  const [version, since] = [last?.image ?? null, last?.at ?? 0];
  return { version, since, fresh: false, isOld: last !== null };
}

export type MoveGrounds = {
  had: Had;
  decided: Omit<Decided, 'recovery'>;
  /** The image for new hardware, by what is on this machine's disk; null: there is none, or nobody needs to know. */
  newest: string | null;
  now: number;
};

/**
 * @returns what the ledger keeps of it
 * @throws BootwaveError `SIGNER_IMAGE_UNDECIDED`
 */
export function checkMove(
  order: Order,
  { had, decided: { rollouts, incidents, places, installs, pins }, newest, now }: MoveGrounds,
): NonNullable<Signed['moved']> {
  const version = order.image?.version ?? null;
  const { since, fresh, isOld } = had;
  if (version === null || version === had.version) return { version: had.version, since, fresh };
  if (
    rollouts.moves(had.version, version, {
      id: order.node,
      place: places.get(order.node)?.place ?? undefined,
    })
  )
    return { version, since: now, fresh: false };
  // What was wiped is installed anew.
  const asked = Math.max(installs.get(order.node) ?? 0, incidents.of(order.node)?.wipe?.at ?? 0);
  const isBeginning = fresh && now < since + INSTALL_LASTS;
  const isNew =
    had.version === null || order.wipe || isBeginning || (asked > since && now < asked + INSTALL_LASTS);
  const pin = pins.get(order.node);
  const isPinned = pin?.image === version && (pin.until === null || now < pin.until);
  const isGiven = rollouts.gave(version) || version === newest || isPinned;
  if (!rollouts.begun || (isNew && isGiven) || (isOld && rollouts.gave(version)))
    // The time does not begin again with each image.
    return { version, since: isBeginning ? since : now, fresh: isNew };
  throw unsigned(
    'SIGNER_IMAGE_UNDECIDED',
    `nobody has decided that ${order.node} is moved to image ${version}: no rollout that is under way brings it there`,
    `start a rollout to ${version}; an installation that began more than 7 days ago is asked for again (bootwave node set NODE --mode netboot, then --mode installed); otherwise find out who wrote that into the database`,
  );
}
