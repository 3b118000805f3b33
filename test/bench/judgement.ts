/** Which rollouts are stopped and why, in 200 seeded scenarios: good and bad versions, with and without other troubles */
import { loadavg } from 'node:os';
import { named, scenarios, score } from './judgement/suite.ts';

const began = performance.now();
const result = score(scenarios());
const seconds = (performance.now() - began) / 1000;
const guilt = named();
const percent = (part: number, whole: number) => `${((100 * part) / Math.max(1, whole)).toFixed(1)} %`;
for (const what of [...result.wrong, ...guilt.wrong]) console.log(`  wrong: ${what}`);
console.log(
  `200 scenarios in ${seconds.toFixed(1)} s, load ${loadavg()[0]?.toFixed(1)}; peer: Gandalf (NSDI 2020) on data-plane ` +
    'rollouts, precision 92 %, recall 100 %',
);
console.log(
  `bench judgement bad versions stopped ${result.stopped} of ${result.bad} (${percent(result.stopped, result.bad)})`,
);
console.log(
  `bench judgement stops justified ${result.justified} of ${result.stops} (${percent(result.justified, result.stops)})`,
);
console.log(`bench judgement good versions taken back ${result.takenBack}`);
console.log(
  `bench judgement largest share of the fleet that a bad version reached ${percent(result.reached, 1)}`,
);
console.log(`bench judgement guilty of 5 changes named ${percent(guilt.share, 1)}`);
if (result.stopped < result.bad || result.justified < 0.95 * result.stops || guilt.share < 0.95)
  process.exitCode = 1;
