/** Events per second through the pure rollout engine, 1,000 nodes with 5 % faults; `engine.ts 100` runs 100 seeds. */
import { drive } from '../orchestrator/rollout/drive.ts';

const seeds = Number(process.argv[2] ?? 5);
const ends: Record<string, number> = {};
let events = 0;
let commands = 0;
let broken = 0;
const start = process.cpuUsage();
const wall = performance.now();
for (let seed = 1; seed <= seeds; seed += 1) {
  // Half of the seeds end within their budget, half spend it; all with crashes and lost writes.
  const budget = seed % 2 === 0 ? { wave: '10%', whole: '10%' } : { wave: 3, whole: 5 };
  const run = drive({
    seed,
    nodes: 1000,
    sites: 50,
    faults: 0.05,
    crash: 0.02,
    failover: 0.005,
    spec: { budget },
  });
  const { state } = run.state.rollout;
  ends[state] = (ends[state] ?? 0) + 1;
  events += run.events;
  commands += run.commands;
  broken += run.violations.length;
  for (const violation of run.violations) console.error(violation);
}
const seconds = (performance.now() - wall) / 1000;
const cpu = process.cpuUsage(start);
console.log(
  `${seeds} seeds of 1,000 nodes: ${JSON.stringify(ends)}, ${broken} rules broken, ${commands} orders, ${seconds.toFixed(1)} s, CPU ${((cpu.user + cpu.system) / 1e6).toFixed(1)} s (fleet model included)`,
);
// The peer is the wire: a thousand nodes that report every 30 s make 33 events a second.
const rate = events / seconds;
console.log(
  `bench engine ${Math.round(rate)} events/s vs 1,000 nodes reporting every 30 s 33 events/s ratio ${(rate / 33.3).toFixed(0)}`,
);
if (broken > 0) process.exitCode = 1;
