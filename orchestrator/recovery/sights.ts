/** What one server remembers of what it has seen of each node, and which signals follow. No I/O; nothing of it is in Redis. */
import type { Incident } from '../fleet/decisions/incidents.ts';
import type { Sight } from '../fleet/sight.ts';
import { hearWords, NOTHING, type OwnWords } from './own-words.ts';
import { type Signal, type SignalCode, signalOf } from './signals.ts';

const MINUTE = 60_000;
/** Of one node: an attacker who is one must not fill the memory. */
const MOST = 32;

type Caught = { code: SignalCode; at: number; text: string; weight: number };
type Seen = {
  heardAt: number | null;
  /** Since when it was heard without a pause of `PAUSE`; null: it was not. */
  hearsSince: number | null;
  provedAt: number | null;
  /** Since when it says that it is healthy, in one boot; null: it does not. */
  wellSince: number | null;
  illSince: number | null;
  illness: string;
  boot: string;
  /** When it started, by its enrolments. */
  boots: number[];
  caught: Caught[];
  /** By systems outside: what they say pushes out nothing that was seen. */
  reported: Caught[];
  words: OwnWords;
};

/** Milliseconds without a heartbeat after which a node was not heard in one piece. */
const PAUSE = 5 * MINUTE;

export type Found = { code: SignalCode; evidence: string[] };
type RuleOf = (code: SignalCode) => Signal | null;

export class Sights {
  readonly #seen = new Map<string, Seen>();

  add(sight: Sight): void {
    const { node, at } = sight;
    const seen = this.#of(node);
    switch (sight.kind) {
      case 'proof':
        seen.provedAt = at;
        return;
      case 'boot':
        seen.provedAt = at;
        // A node renews its certificate by enrolling again, in the same boot.
        if (seen.boot === sight.bootId) return;
        seen.wellSince = null;
        seen.illSince = null;
        seen.boot = sight.bootId;
        seen.boots = [...seen.boots, at].slice(-MOST);
        return;
      case 'beat':
        heard(seen, sight);
        return;
      case 'caught': {
        const code = signalOf(sight.code);
        if (code === null) return;
        const text = `${new Date(at).toISOString()} ${sight.code}: ${sight.what}`.slice(0, 500);
        seen.caught = [...seen.caught, { code, at, text, weight: 1 }].slice(-MOST);
        return;
      }
      case 'reported': {
        const { says, weight } = sight;
        const code = says === 'broken' ? 'reported' : 'suspected';
        const text = `${new Date(at).toISOString()} ${sight.text}`.slice(0, 500);
        seen.reported = [...seen.reported, { code, at, text, weight } as const].slice(-MOST);
      }
    }
  }

  /** Since when it says that it is healthy, without a pause and in one boot; null: it does not, or was not heard. */
  wellSince(node: string): number | null {
    return this.#seen.get(node)?.wellSince ?? null;
  }

  /** A disk of it foretells that it fails, as the node told it last. */
  isFailing(node: string): boolean {
    return (this.#seen.get(node)?.words.failing ?? null) !== null;
  }

  heardAt(node: string): number | null {
    return this.#seen.get(node)?.heardAt ?? null;
  }

  /**
   * The signals about a member that count now, the gravest first.
   * @param since when this server began to listen, milliseconds since the epoch: before that silence says nothing
   */
  found(node: string, rule: RuleOf, now: number, since: number): Found[] {
    const seen = this.#seen.get(node);
    const all = [...this.#caught(seen, rule, now), ...lasting(seen, rule, now, since)];
    return all.sort(
      (a, b) => Number(rule(b.code)?.road === 'compromised') - Number(rule(a.code)?.road === 'compromised'),
    );
  }

  /**
   * What was seen is told; only what comes from now on counts again. Of a node that is only broken by it, by its own word or that of a system
   * outside, what shows that it is compromised counts on.
   */
  clear(node: string, road: Incident['road']): void {
    const seen = this.#seen.get(node);
    if (seen === undefined) return;
    if (road === 'compromised') seen.caught = [];
    seen.reported = [];
    seen.boots = [];
    seen.illSince = null;
    const { failing } = seen.words;
    const known = failing && { ...failing, told: true };
    seen.words = { ...seen.words, grown: NOTHING.grown, clock: null, failing: known };
  }

  /** Forgets who is no member any more. */
  keep(members: ReadonlySet<string>): void {
    for (const node of this.#seen.keys()) if (!members.has(node)) this.#seen.delete(node);
  }

  #caught(seen: Seen | undefined, rule: RuleOf, now: number): Found[] {
    const all = seen === undefined ? [] : [...seen.caught, ...seen.reported];
    const codes = new Set(all.map(({ code }) => code));
    return [...codes].flatMap((code) => {
      const after = rule(code)?.after;
      if (after === undefined || !('times' in after)) return [];
      const fresh = all.filter((one) => one.code === code && now - one.at <= after.within * MINUTE);
      const times = fresh.reduce((sum, { weight }) => sum + weight, 0);
      return times < after.times ? [] : [{ code, evidence: fresh.slice(-3).map(({ text }) => text) }];
    });
  }

  #of(node: string): Seen {
    const known = this.#seen.get(node);
    if (known !== undefined) return known;
    const fresh: Seen = {
      ...{ heardAt: null, hearsSince: null, provedAt: null, wellSince: null, illSince: null },
      ...{ illness: '', boot: '', boots: [], caught: [], reported: [], words: NOTHING },
    };
    this.#seen.set(node, fresh);
    return fresh;
  }
}

function heard(seen: Seen, beat: Extract<Sight, { kind: 'beat' }>): void {
  const { at, bootId, healthy, reason, hardware } = beat;
  const isPaused = seen.heardAt === null || at - seen.heardAt > PAUSE;
  seen.words = hearWords(seen.words, { at, bootId, paused: isPaused }, hardware);
  if (isPaused) seen.hearsSince = at;
  if (isPaused || seen.boot !== bootId || !healthy) seen.wellSince = null;
  if (isPaused || healthy) seen.illSince = null;
  seen.heardAt = at;
  seen.boot = bootId;
  if (healthy) {
    seen.wellSince ??= at;
    // A boot that became healthy is the end of any loop.
    seen.boots = [];
  } else {
    seen.illSince ??= at;
    seen.illness = reason;
  }
}

/** Signals that are a state which lasts, or boots that do not end well. */
function lasting(seen: Seen | undefined, rule: RuleOf, now: number, since: number): Found[] {
  const found: Found[] = [];
  const lasts = (code: SignalCode, from: number | null, text: (minutes: number) => string) => {
    const after = rule(code)?.after;
    if (from === null || after === undefined || !('minutes' in after)) return;
    const minutes = Math.floor((now - from) / MINUTE);
    if (minutes >= after.minutes) found.push({ code, evidence: [text(minutes)] });
  };
  const heardAt = seen?.heardAt ?? null;
  lasts('silent', Math.max(heardAt ?? 0, since), (minutes) =>
    heardAt === null
      ? `not heard for ${minutes} min, since this server listens`
      : `not heard for ${minutes} min; last at ${new Date(heardAt).toISOString()}`,
  );
  if (seen === undefined) return found;
  const isHeard = heardAt !== null && now - heardAt <= PAUSE;
  const proved = isHeard && seen.hearsSince !== null ? Math.max(seen.provedAt ?? 0, seen.hearsSince) : null;
  lasts('no-quote', proved, (minutes) => `heard all the time, and no quote for ${minutes} min`);
  if (isHeard)
    lasts('ill', seen.illSince, (minutes) => `ill for ${minutes} min: ${seen.illness}`.slice(0, 500));
  const { clock, grown, failing } = seen.words;
  if (isHeard && clock !== null)
    lasts(
      'clock',
      clock.since,
      (minutes) => `its clock is ${Math.round(clock.off / 1000)} s off for ${minutes} min`,
    );
  if (isHeard && failing !== null && !failing.told)
    lasts(
      'smart',
      failing.since,
      (minutes) =>
        `told for ${minutes} min: ${failing.disks.map(({ disk, why }) => `${disk}: ${why}`).join('; ')}`,
    );
  for (const code of ['memory', 'disk'] as const) {
    const after = rule(code)?.after;
    if (after === undefined || !('times' in after)) continue;
    const fresh = grown[code].filter(({ at }) => now - at <= after.within * MINUTE);
    if (fresh.length < after.times) continue;
    const last = fresh.slice(-3).map(({ at, more }) => `${more} at ${new Date(at).toISOString()}`);
    found.push({ code, evidence: [`errors that the node counted: ${last.join(', ')}`] });
  }
  const loop = rule('boot-loop')?.after;
  if (loop === undefined || !('times' in loop)) return found;
  const boots = seen.boots.filter((at) => now - at <= loop.within * MINUTE);
  if (boots.length >= loop.times)
    found.push({
      code: 'boot-loop',
      evidence: [
        `${boots.length} starts within ${loop.within} min: ${boots.map((at) => new Date(at).toISOString()).join(', ')}`,
      ],
    });
  return found;
}
