/** Pure: whether a node was seen to do what its BMC said. Only the node's own heartbeats count. */
import { z } from 'zod';
import { ACTIONS } from './bmc.ts';

/** `waiting`; `seen`; `unmoved`: it goes on as if nothing had happened; `unseen`: nobody knows; `refused`: by the BMC. */
const VERDICTS = ['waiting', 'seen', 'unmoved', 'unseen', 'refused'] as const;

export const actionSchema = z.object({
  id: z.string(),
  action: z.enum(ACTIONS),
  /** The next boot was to be from the network. */
  network: z.boolean(),
  by: z.string(),
  /** Milliseconds since the epoch, as all times here. */
  at: z.number(),
  /** What the BMC said of the power in the end; null: it gave no clear answer, or whoever asked it has ended. */
  said: z.enum(['on', 'off']).nullable(),
  /** As the node was before. */
  before: z.object({
    bootId: z.string(),
    lastSeen: z.number().nullable(),
    power: z.enum(['on', 'off']).nullable(),
  }),
  verdict: z.enum(VERDICTS),
  /** When that was clear; null while it waits. */
  verdictAt: z.number().nullable(),
  why: z.string(),
});
export type Action = z.infer<typeof actionSchema>;

export type SeenTimes = {
  /** Heartbeats that come later than this after an action are of a machine that it did not touch. */
  grace: number;
  /** Without a heartbeat for so long after `off` it is off, if it was heard that shortly before. */
  silence: number;
  /** Until a machine that starts should have been heard: servers test their memory for minutes. */
  start: number;
};
export const SEEN_TIMES: SeenTimes = { grace: 20_000, silence: 90_000, start: 20 * 60_000 };

export type Heard = { bootId: string; lastSeen: number | null };

/** @returns null: nothing is clear yet */
export function judgeSeen(
  action: Action,
  heard: Heard,
  now: number,
  times: SeenTimes = SEEN_TIMES,
): Pick<Action, 'verdict' | 'why'> | null {
  return action.action === 'off'
    ? judgeOff(action, heard, now, times)
    : judgeStart(action, heard, now, times);
}

function judgeStart(
  { at, before, said }: Action,
  { bootId, lastSeen }: Heard,
  now: number,
  times: SeenTimes,
) {
  const heard = lastSeen !== null && lastSeen > at;
  if (heard && bootId !== '' && bootId !== before.bootId)
    return { verdict: 'seen' as const, why: `it restarted: heard again after ${seconds(lastSeen - at)}` };
  if (heard && lastSeen > at + times.grace)
    return { verdict: 'unmoved' as const, why: `${bmcSaid(said)}, and the node goes on in the same boot` };
  if (now - at <= times.start) return null;
  return {
    verdict: 'unseen' as const,
    why: `${bmcSaid(said)}, and the node was not seen to restart within ${seconds(times.start)}`,
  };
}

function judgeOff({ at, before, said }: Action, { lastSeen }: Heard, now: number, times: SeenTimes) {
  if (lastSeen !== null && lastSeen > at + times.grace)
    return { verdict: 'unmoved' as const, why: `${bmcSaid(said)}, and the node is still heard` };
  if (now - at <= times.silence) return null;
  const wasHeard = before.lastSeen !== null && before.lastSeen > at - times.silence;
  return wasHeard
    ? { verdict: 'seen' as const, why: `it went: not heard for ${seconds(now - (lastSeen ?? at))}` }
    : { verdict: 'unseen' as const, why: `${bmcSaid(said)}, and the node was not heard before either` };
}

const bmcSaid = (said: Action['said']) =>
  said === null ? 'the BMC gave no clear answer' : 'the BMC said yes';
const seconds = (milliseconds: number) => `${Math.round(milliseconds / 1000)} s`;
