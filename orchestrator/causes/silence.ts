/**
 * Which nodes are silent together: a network or power failure takes all nodes of a place, a bad change only those that
 * have it.
 */
import type { Cause } from './cause.ts';

/** A node that should answer now. A node in the middle of a restart is not compared with others. */
export type Peer = {
  id: string;
  site: string;
  /** Null if unknown. */
  rack: string | null;
  /** Whether it has what the change brings. */
  changed: boolean;
  /** Milliseconds since its last sign of life. */
  quiet: number;
  /** Milliseconds by which news of it may be late, when it is not asked directly and only its heartbeats are read. */
  lag?: number;
};

export type SilenceTimes = {
  /** Milliseconds of silence that count as trouble. Every peer is asked at least four times within this time. */
  silent: number;
};

/**
 * Part of a place that may still answer although the place counts as lost: neighbours on another switch, a late
 * message.
 */
const STRAY = { everywhere: 0.05, site: 0.2, rack: 0.34 } as const;

/** `gone`: lost long before, so for another reason. */
type Heard = 'heard' | 'lost' | 'gone' | 'unknown';

/**
 * Whether a peer that fell silent together with the suspect can already be distinguished from one that answers. Each
 * peer is asked every quarter of `silent`, so its last message may be half of `silent` old although all is well.
 */
function heardOf(peer: Peer, suspect: Peer, { silent }: SilenceTimes): Heard {
  if (peer.quiet < silent / 2) {
    const { lag = 0 } = peer;
    return lag > 0 && suspect.quiet < silent + lag ? 'unknown' : 'heard';
  }
  if (peer.quiet > suspect.quiet + 2 * silent) return 'gone';
  if (suspect.quiet < silent * 1.25) return 'unknown';
  return peer.quiet < silent * 0.75 ? 'heard' : 'lost';
}

export type Silence =
  /** Too early: some peers of this place cannot be distinguished yet, and for nobody there who is as quiet, or less. */
  | { verdict: 'wait'; place: Cause }
  | { verdict: 'shared'; cause: Cause; ids: string[] }
  /** It is the only silent one. */
  | { verdict: 'alone' };

type Place = { cause: Cause; members: Peer[]; stray: number };

/**
 * @param suspect silent for longer than `silent`
 * @param peers all that should answer, the suspect among them
 */
export function silenceOf(suspect: Peer, peers: readonly Peer[], times: SilenceTimes): Silence {
  const { site, rack } = suspect;
  const known = new Map(peers.map((peer) => [peer.id, heardOf(peer, suspect, times)]));
  const there = peers.filter(({ id }) => known.get(id) !== 'gone');
  const here = there.filter((peer) => peer.site === site);
  const places: Place[] = [
    { cause: { kind: 'own-uplink' }, members: there, stray: STRAY.everywhere },
    { cause: { kind: 'site', site }, members: here, stray: STRAY.site },
  ];
  if (rack !== null) {
    const members = here.filter((peer) => peer.rack === rack);
    places.push({ cause: { kind: 'rack', site, rack }, members, stray: STRAY.rack });
  }
  const is = (peer: Peer, what: Heard) => peer.id !== suspect.id && known.get(peer.id) === what;
  const lost = (peer: Peer) => peer.id === suspect.id || known.get(peer.id) === 'lost';
  for (const { cause, members, stray } of places) {
    const others = members.filter(({ id }) => id !== suspect.id);
    if (others.length === 0) continue;
    const heard = members.filter((peer) => is(peer, 'heard')).length;
    if (heard > members.length * stray) continue;
    if (others.some((peer) => is(peer, 'unknown'))) return { verdict: 'wait', place: cause };
    const ids = members.filter(lost).map(({ id }) => id);
    const unchanged = members.filter((peer) => !peer.changed);
    // Nodes that did not change are lost as well: no change explains that.
    if (unchanged.some(lost)) return { verdict: 'shared', cause, ids };
    if (unchanged.length > 0) continue;
    if (together(members, times) && provenElsewhere(there, members, ids.length, is))
      return { verdict: 'shared', cause, ids };
  }
  return { verdict: 'alone' };
}

/** Part of `silent` by which last messages may differ: nodes are not asked often enough for a finer distinction. */
const TOGETHER = 0.75;

function together(members: readonly Peer[], { silent }: SilenceTimes): boolean {
  const quiet = members.flatMap((peer) => (peer.lag === undefined ? [peer.quiet] : []));
  return Math.max(0, ...quiet) - Math.min(...quiet) <= silent * TOGETHER;
}

/** All nodes of a place have changed: then changed nodes at other places are compared. */
function provenElsewhere(
  peers: readonly Peer[],
  members: readonly Peer[],
  lost: number,
  is: (peer: Peer, what: Heard) => boolean,
): boolean {
  const inside = new Set(members.map(({ id }) => id));
  const elsewhere = peers.filter((peer) => !inside.has(peer.id) && peer.changed);
  // Nobody is left to compare with: a node that cannot be reached cannot be rolled back either, so waiting loses
  // nothing.
  if (members.length === peers.length) return lost > 1;
  return lost > 1 && elsewhere.filter((peer) => is(peer, 'heard')).length >= Math.max(2, lost);
}

/** When many nodes have changed and are done, so few silent ones are not caused by the change. */
const FEW = 0.05;
/** Number of done nodes that is needed to conclude this for a single silent one. */
const ENOUGH = 4;

/**
 * A node that finished its bake and becomes silent alone later.
 * @param silent such nodes, and @param well those that answer, of all that are done
 * @param unchanged share of the nodes that did not change and are silent, 0 to 1
 * @returns `unclear` when there are too few to compare with
 */
export function afterwards(
  silent: number,
  well: number,
  unchanged: number,
): 'gone-alone' | 'change' | 'unclear' {
  if (silent === 1 && well < ENOUGH) return 'unclear';
  if (silent === 1) return 'gone-alone';
  return silent / (silent + well) > Math.max(FEW, 3 * unchanged) ? 'change' : 'gone-alone';
}
