/** 200 seeded scenarios: what was stopped, what was right to stop, and whether the guilty of five changes is named. */
import { type Change, guiltOf, type Trouble } from '../../../orchestrator/causes/guilt.ts';
import { Random } from '../../orchestrator/rollout/random.ts';
import { BAD, OUTAGES, type Played, play, type Scenario } from './world.ts';

/** Half of them good, half bad; half of each with something else beside it. */
export function scenarios(count = 200, base = 1000): Scenario[] {
  return Array.from({ length: count }, (_, i): Scenario => {
    const version = i % 2 === 0 ? 'good' : BAD[Math.floor(i / 2) % BAD.length]!;
    // Bad versions are without one half of the time; good ones get every trouble again and again.
    const pick = Math.floor(i / 2) % (OUTAGES.length + 1);
    const outage = i % 2 === 1 && i % 4 === 1 ? 'none' : (OUTAGES[pick] ?? 'none');
    return { seed: base + i, version, outage };
  });
}

/** Causes under which each trouble may be named. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  rack: ['rack', 'site'],
  site: ['site', 'own-uplink'],
  uplink: ['own-uplink'],
  'time-server': ['surroundings'],
  clock: ['own-clock'],
  'switched-off': ['gone-alone'],
};
/** Seconds after its end that a trouble may still be felt. */
const AFTER = 1200;

export type Score = {
  bad: number;
  stopped: number;
  stops: number;
  justified: number;
  /** Good versions that were taken back. */
  takenBack: number;
  /** Largest share of the fleet that a bad version reached. */
  reached: number;
  wrong: string[];
};

export function judge(played: Played, { version, outage }: Scenario): { stopped: boolean; wrong: string[] } {
  const { state, stops, trouble } = played;
  const { rollout } = state;
  const ended = ['failed', 'rolling-back'].includes(rollout.state);
  const stopped = ended || rollout.state === 'paused';
  const wrong: string[] = [];
  for (const stop of stops) {
    if (version !== 'good') continue;
    const isNamed = NAMES[outage]?.includes(stop.cause) === true;
    const inTime = stop.at >= trouble.from && stop.at <= trouble.to + AFTER;
    if (stop.state === 'paused' && isNamed && inTime) continue;
    wrong.push(`${stop.state} at ${stop.at}: ${stop.why}`);
  }
  return { stopped, wrong };
}

export function score(all: readonly Scenario[]): Score {
  const total: Score = { bad: 0, stopped: 0, stops: 0, justified: 0, takenBack: 0, reached: 0, wrong: [] };
  for (const scenario of all) {
    const played = play(scenario);
    const { stopped, wrong } = judge(played, scenario);
    const name = `${scenario.seed} ${scenario.version} ${scenario.outage}`;
    total.stops += played.stops.length;
    total.justified += played.stops.length - wrong.length;
    for (const what of wrong) total.wrong.push(`${name}: ${what}`);
    if (scenario.version === 'good') {
      if (played.stops.some(({ state }) => state === 'rolling-back')) total.takenBack += 1;
      const { state, why } = played.state.rollout;
      if (!['done', 'partial'].includes(state)) total.wrong.push(`${name}: ended ${state}: ${why}`);
      continue;
    }
    total.bad += 1;
    if (stopped) total.stopped += 1;
    else total.wrong.push(`${name}: not stopped, ${played.state.rollout.state}: ${played.state.rollout.why}`);
    total.reached = Math.max(total.reached, played.touched);
  }
  return total;
}

/** Five changes at a time over one fleet, one of them guilty. @returns share in which it is named first, 0 to 1 */
export function named(count = 200): { share: number; wrong: string[] } {
  const wrong: string[] = [];
  for (let seed = 1; seed <= count; seed += 1) {
    const random = new Random(seed);
    const nodes = Array.from({ length: 100 + Math.floor(random.next() * 300) }, (_, i) => `n${i}`);
    const changes = Array.from({ length: 5 }, (_, i): Change => {
      const share = 0.1 + random.next() * 0.4;
      const begins = random.next() * 3600_000;
      // As far as it is: some nodes of its own, at its own pace.
      const have = nodes.filter(() => random.chance(share));
      return { id: `c${i}`, at: new Map(have.map((node, n) => [node, begins + n * 20_000])) };
    });
    const guilty = changes[Math.floor(random.next() * 5)]!;
    const fails = 0.3 + random.next() * 0.7;
    const troubles: Trouble[] = [];
    for (const node of nodes) {
      const at = guilty.at.get(node);
      if (at !== undefined && random.chance(fails))
        troubles.push({ node, at: at + 60_000 + random.next() * 1200_000 });
      else if (random.chance(0.02)) troubles.push({ node, at: random.next() * 7200_000 });
    }
    const [first] = guiltOf(nodes, changes, troubles);
    if (first?.change !== guilty.id)
      wrong.push(`${seed}: ${first?.change ?? 'none'} instead of ${guilty.id}`);
  }
  return { share: 1 - wrong.length / count, wrong };
}
