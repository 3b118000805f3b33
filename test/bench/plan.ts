/** Time to plan a rollout over 10,000 nodes, against reading the same fleet from JSON text. */
import { compareVersions } from '../../formats/version.ts';
import { makePlan } from '../../orchestrator/rollout/plan.ts';
import { checkSpec } from '../../orchestrator/rollout/spec.ts';
import { fleetOf } from '../orchestrator/rollout/fleet.ts';

const services = ['web', 'dns', 'cache', 'metrics', 'build'];
const fleet = fleetOf(10_000, 100, (i) => ({
  running: ['1.0', '1.1', '1.5', '1.9'][i % 4]!,
  state: i % 50 === 0 ? 'unreachable' : 'healthy',
  labels: { ring: String(i % 10) },
  services: services.slice(0, 1 + (i % services.length)),
}));
const versions = ['1.0', '1.1', '1.5', '1.9', '2.0'].map((version) => ({
  version,
  barrier: version === '1.5',
}));
const checked = checkSpec({
  image: '2.0',
  nodes: { all: true },
  barriers: 'pass',
  waves: [
    { name: 'canary', take: 10 },
    { select: { labels: { ring: '0' } }, take: '50%' },
    { take: '10%' },
    { take: '25%' },
    { take: 'rest' },
  ],
  limits: { whole: 500, site: '20%', rack: 1 },
  windows: [
    { zone: 'Europe/Paris', days: ['sat', 'sun'], from: '22:00', to: '05:00' },
    { zone: 'America/New_York', from: '01:00', to: '04:30' },
  ],
});
if (!checked.ok) throw new Error(JSON.stringify(checked.refusals));
const { spec } = checked;
const now = Date.parse('2030-03-30T12:00:00Z');
const facts = { graph: { versions, floor: '1.0', compare: compareVersions } };
const text = JSON.stringify(fleet);

type Measured = { cold: number; median: number; cpu: number };

/** Milliseconds: the first run apart (a cold process plans once), the median, and the median of CPU time. */
function measure(run: () => unknown): Measured {
  const times: number[] = [];
  const cpus: number[] = [];
  for (let i = 0; i < 15; i += 1) {
    const start = performance.now();
    const before = process.cpuUsage();
    run();
    const { user, system } = process.cpuUsage(before);
    times.push(performance.now() - start);
    cpus.push((user + system) / 1000);
  }
  const middle = (values: number[]) => values.toSorted((a, b) => a - b)[7]!;
  return { cold: times[0]!, median: middle(times), cpu: middle(cpus) };
}

const ours = measure(() => {
  const result = makePlan(fleet, spec, now, facts);
  if (!result.ok) throw new Error(JSON.stringify(result.refusals));
  const placed = result.plan.waves.reduce((sum, wave) => sum + wave.places.length, 0);
  if (placed !== fleet.length) throw new Error(`${placed} nodes placed`);
});
const parse = measure(() => JSON.parse(text));
const ms = (value: number) => value.toFixed(1);
console.log(
  `plan of 10,000 nodes: first run ${ms(ours.cold)} ms, median ${ms(ours.median)} ms, CPU ${ms(ours.cpu)} ms (goal: under 200); peer: JSON.parse of the same fleet, ${(text.length / 1e6).toFixed(1)} MB`,
);
console.log(
  `bench plan ${ms(ours.median)} ms vs JSON.parse ${ms(parse.median)} ms ratio ${(ours.median / parse.median).toFixed(2)}`,
);
// A busy machine stretches wall time without end; what the plan costs is CPU time.
if (ours.cpu > 200) process.exitCode = 1;
