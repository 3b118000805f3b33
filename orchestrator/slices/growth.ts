/** Whether a slice gets more nodes because an instance of it asks. Pure; every ground is what people decided, or the token. */
import { timingSafeEqual } from 'node:crypto';
import { refusal } from '../../base/error.ts';
import { GROWTH_LIFE, type GrowthRequest, growthToken } from '../../protocol/service/growth.ts';
import { shownName, sliceOf } from '../../protocol/service/name.ts';
import type { Slice } from '../fleet/decisions/slices.ts';
import type { NodeRecord } from '../fleet/record.ts';
import { isMember } from '../fleet/transitions.ts';

export type GrowthGrounds = {
  asked: GrowthRequest;
  /** From which it came. */
  address: string;
  /** As it was decided; undefined: there never was one. */
  slice: Slice | undefined;
  /** As it is believed; null: there is none. */
  record: Pick<NodeRecord, 'state' | 'observed'> | null;
  /** Whether a ban of it is in force. */
  banned: boolean;
  /** Milliseconds since the epoch. */
  now: number;
};

/** Before anything else is looked at. @throws BootwaveError `GROWTH_TOKEN`, `GROWTH_TIME` */
export function mustHold(asked: GrowthRequest, key: Uint8Array, now: number): void {
  const [told, made] = [asked.token, growthToken(key, asked)].map((text) => Buffer.from(text, 'hex'));
  if (!timingSafeEqual(told!, made!))
    throw refusal(
      'GROWTH_TOKEN',
      'this token was not made for this wish with the key of that instance',
      'make another one',
    );
  if (Math.abs(now - asked.at) > GROWTH_LIFE)
    throw refusal(
      'GROWTH_TIME',
      `the token is of another time: it counts for ${GROWTH_LIFE / 60_000} min`,
      'make another one; compare the clocks of node and server',
    );
}

/**
 * @returns the slice that gets as many nodes as were asked for
 * @throws BootwaveError `GROWTH_SLICE`, `GROWTH_NODE`, `GROWTH_ADDRESS`, `GROWTH_LIMIT`
 */
export function judgeGrowth({ asked, address, slice, record, banned, now }: GrowthGrounds): Slice {
  const { node, instance, count } = asked;
  const runs = slice?.services.some((one) => one.startsWith(`${instance}:`)) === true;
  if (slice === undefined || slice.state !== 'live' || now >= slice.expires || !runs)
    throw refusal(
      'GROWTH_SLICE',
      `slice '${sliceOf(instance)}' is over, or is not to run ${shownName(instance)}`,
      'ask the owner of the slice',
    );
  if (!slice.nodes.includes(node) || record === null || !isMember(record.state) || banned)
    throw refusal('GROWTH_NODE', `slice '${slice.name}' has no such node`, 'ask from a node of it');
  if (record.observed.address !== address)
    throw refusal('GROWTH_ADDRESS', `it does not come from the node of that instance`, 'ask from there');
  const most = slice.grow ?? 0;
  if (count > most && count > slice.count)
    throw refusal(
      'GROWTH_LIMIT',
      most === 0
        ? `slice '${slice.name}' does not grow by itself`
        : `slice '${slice.name}' grows to ${most} nodes at most`,
      'ask the core team for a larger slice',
    );
  return slice;
}
