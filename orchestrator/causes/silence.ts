/** Who is silent together: a network or a power strip takes all of its nodes, a bad change only those that have it. */
import type { Cause } from './cause.ts';

/** A node that should answer now. One that is in the middle of a restart is nobody's peer. */
export type Peer = {
  id: string;
  site: string;
  /** Null where nobody has said it. */
  rack: string | null;
  /** Whether it has what the change brings. */
  changed: boolean;
  /** Milliseconds since its last word. */
  quiet: number;
  /** Milliseconds by which news of it may be late, where it is not asked but its heartbeats are looked at. */
  lag?: number;
};

export type SilenceTimes = {
  /** Milliseconds of silence that are a trouble. Every peer is asked at least four times within. */
  silent: number;
};

/** Part of a place that may still answer when the place counts as lost: neighbours on another switch, a late word. */
const STRAY = { everywhere: 0.05, site: 0.2, rack: 0.34 } as const;

/** `gone`: lost long before, so by something else. */
type Heard = 'heard' | 'lost' | 'gone' | 'unknown';

/**
 * Whether a peer that fell silent together with the suspect could already be told from one that answers. Asked every
 * quarter, a word may be half of `silent` old although all is well.
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
  /** Too early: some peers cannot be told apart yet. */
  | { verdict: 'wait' }
  | { verdict: 'shared'; cause: Cause; ids: string[] }
  /** It is silent by itself. */
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
    if (others.some((peer) => is(peer, 'unknown'))) return { verdict: 'wait' };
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

/** Part of `silent` by which last words may differ: nobody asks often enough to tell them apart any better. */
const TOGETHER = 0.75;

function together(members: readonly Peer[], { silent }: SilenceTimes): boolean {
  const quiet = members.flatMap((peer) => (peer.lag === undefined ? [peer.quiet] : []));
  return Math.max(0, ...quiet) - Math.min(...quiet) <= silent * TOGETHER;
}

/** All of a place have changed: then others that changed, elsewhere, have to speak for the change. */
function provenElsewhere(
  peers: readonly Peer[],
  members: readonly Peer[],
  lost: number,
  is: (peer: Peer, what: Heard) => boolean,
): boolean {
  const inside = new Set(members.map(({ id }) => id));
  const elsewhere = peers.filter((peer) => !inside.has(peer.id) && peer.changed);
  // Nobody is left to compare with: who cannot be reached cannot be taken back either, so nothing is lost by waiting.
  if (members.length === peers.length) return lost > 1;
  return lost > 1 && elsewhere.filter((peer) => is(peer, 'heard')).length >= Math.max(2, lost);
}

/** Of many that changed and are done, so few silent ones are not the change. */
const FEW = 0.05;
/** Done nodes that are needed to say so of a single one. */
const ENOUGH = 4;

/**
 * A node that served its bake and falls silent by itself later.
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
