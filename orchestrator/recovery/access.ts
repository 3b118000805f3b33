/**
 * Who may look at a node in rescue. While somebody does, the node's order names an authority for its incident: its key is made for that, lives
 * in the memory of this process, and is on no disk. A server that ends has nobody look any more; whoever asks again gets another one.
 */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { BootwaveError, refusal } from '../../base/error.ts';
import { rawPublicKey } from '../../keys/ssh-key.ts';
import { RESCUE_LIMITS, type RescueRequest } from '../../protocol/agent/rescue.ts';
import type { By } from '../fleet/acting.ts';
import { type Incident, isOver, rescueOf } from '../fleet/decisions/incidents.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { askRescue } from '../transport/ask-rescue.ts';
import type { LinkTarget } from '../transport/channel.ts';
import { abortedBy } from '../transport/errors.ts';
import { decideIncident } from './incidents.ts';

/**
 * Milliseconds: how long people may look, what has to be left of it for a look, in which the node has to have its order, and in which it
 * has to have shown what is no hash, with that: it gives itself a minute.
 */
export const ACCESS = {
  holds: 30 * 60_000,
  left: 60_000,
  order: 60_000,
  looks: 150_000,
  again: 500,
} as const;

/** @throws BootwaveError `INCIDENT_ROAD`, `INCIDENT_OVER` */
export function inRoadOfBroken(now: Incident | undefined, { name }: { name: string }): Incident {
  if (now === undefined || isOver(now))
    throw refusal(
      'INCIDENT_OVER',
      `no incident of node ${name} is open`,
      `'bootwave node recover ${name} --reason WHY' begins one`,
    );
  if (now.road === 'broken') return now;
  throw refusal(
    'INCIDENT_ROAD',
    `node ${name} may be in somebody else's hands: nobody looks into it, and it gets no order but to wipe`,
    `'bootwave incident evidence ${name}' shows what servers have seen of it; its disk can be taken out`,
  );
}

type Grant = { authority: KeyObject; hex: string; until: number };
/** Of this process, by node. */
const grants = new Map<string, Grant>();

export type Access = { incident: Incident; until: number; authority: KeyObject; fresh: boolean };

/** @throws BootwaveError `INCIDENT_NO_RESCUE`, `INCIDENT_ROAD`, `INCIDENT_OVER`, and what `decideIncident` throws */
export async function openAccess(
  fleet: Fleet,
  { id, name }: { id: string; name: string },
  by: By,
): Promise<Access> {
  let grant = grants.get(id);
  const { incident, changed } = await decideIncident(
    fleet,
    id,
    (now) => {
      const known = inRoadOfBroken(now, { name });
      const { rescue } = known;
      if (rescue == null)
        throw refusal(
          'INCIDENT_NO_RESCUE',
          `node ${name} is not in rescue: it runs what it is to run, and nobody looks into that`,
          `bootwave incident rescue ${name} --reason WHY`,
        );
      const isMine = grant !== undefined && rescue.access?.authority === grant.hex;
      if (isMine && grant!.until - by.at > ACCESS.left) return null;
      // What is under way goes on under the same one.
      const authority = isMine ? grant!.authority : generateKeyPairSync('ed25519').privateKey;
      const hex = rawPublicKey(authority).toString('hex');
      grant = { authority, hex, until: by.at + ACCESS.holds };
      return { ...known, rescue: { ...rescue, access: { authority: hex, until: grant.until } } };
    },
    by,
  );
  grants.set(id, grant!);
  return { incident: incident!, until: grant!.until, authority: grant!.authority, fresh: changed };
}

/** @returns false: nobody might look */
export async function closeAccess(fleet: Fleet, node: string, by: By): Promise<boolean> {
  grants.delete(node);
  const { changed } = await decideIncident(
    fleet,
    node,
    (now) => {
      if (now?.rescue?.access === undefined) return null;
      const { access: _, ...rescue } = now.rescue;
      return { ...now, rescue };
    },
    by,
  );
  return changed;
}

type Looking = {
  fleet: Pick<Fleet, 'decisions'>;
  /** For the node. */
  who: string;
  signal: AbortSignal;
  /** Milliseconds for what is no hash. */
  within?: number;
};

/**
 * One look, as soon as the node has the order that allows it. It is cut off when the access is closed, or the rescue over; what began in time
 * goes on after the time is over.
 * @throws BootwaveError `RESCUE_ORDER_LATE`, `RESCUE_CLOSED`, `RESCUE_SLOW`, the reason of `signal`, and as `askRescue`
 */
export async function lookInto(
  target: LinkTarget,
  access: Access,
  request: RescueRequest,
  { fleet, who, signal, within = ACCESS.looks }: Looking,
): Promise<{ bytes: Buffer; more: boolean }> {
  const { incident, authority } = access;
  const hex = rawPublicKey(authority).toString('hex');
  const closed = new AbortController();
  const watch = setInterval(() => {
    const now = rescueOf(fleet.decisions.incidents.of(incident.node), 0);
    if (now?.access?.authority !== hex)
      closed.abort(
        refusal('RESCUE_CLOSED', `nobody may look at ${incident.name} any more`, 'ask for the access again'),
      );
  }, ACCESS.again);
  const time = request.operation === 'look' ? within : RESCUE_LIMITS.time;
  const late = setTimeout(() => closed.abort(tooSlow(incident.name, time)), time);
  const stop = AbortSignal.any([signal, closed.signal]);
  try {
    return await retried(target, access, request, { who, stop });
  } catch (error) {
    throw stop.aborted ? abortedBy(stop) : error;
  } finally {
    clearInterval(watch);
    clearTimeout(late);
  }
}

async function retried(
  target: LinkTarget,
  { incident, authority }: Access,
  request: RescueRequest,
  { who, stop }: { who: string; stop: AbortSignal },
): Promise<{ bytes: Buffer; more: boolean }> {
  const looker = { authority, incident: incident.number, who };
  for (const last = performance.now() + ACCESS.order; ; ) {
    try {
      return await askRescue(target, looker, request, stop);
    } catch (error) {
      // Until it has its order, it lets nobody in.
      if (!(error instanceof BootwaveError) || error.code !== 'LINK_AUTH') throw error;
      if (performance.now() > last)
        throw new BootwaveError({
          code: 'RESCUE_ORDER_LATE',
          what: `node ${incident.name} lets nobody in: it has no order yet that says so, or an image that knows no rescue`,
          unchanged: 'nothing was shown',
          next: `'bootwave node history ${incident.name}' says whether it refuses the order`,
          cause: error,
        });
      await sleep(ACCESS.again, undefined, { signal: stop });
    }
  }
}

const tooSlow = (name: string, time: number): BootwaveError =>
  new BootwaveError({
    code: 'RESCUE_SLOW',
    what: `node ${name} has not shown it within ${Math.round(time / 1000)} s`,
    unchanged: 'nothing was shown',
    next: 'look at something else of it: its disk may be what is slow',
  });
