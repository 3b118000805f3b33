/** The published suite of seeded scenarios, and as many again that nobody has looked at while the rules were written. */
import test from 'ava';
import { named, scenarios, score } from '../bench/judgement/suite.ts';

for (const base of [1_000, 40_000]) {
  test(`200 scenarios from seed ${base}: every bad version is stopped, and nearly every stop is justified`, (t) => {
    const { bad, stopped, stops, justified, wrong } = score(scenarios(200, base));
    t.is(bad, 100);
    t.is(stopped, bad, wrong.join('\n'));
    t.true(justified >= 0.95 * stops, wrong.join('\n'));
  });
}

test('of five changes under way the guilty one is named', (t) => {
  const { share, wrong } = named();
  t.true(share >= 0.95, wrong.join('\n'));
});
