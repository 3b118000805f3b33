import test from 'ava';
import { Forecast, inWords, PHASES, type Phase, programme } from '../../../lab/demo/forecast.ts';

const phases: readonly Phase[] = [
  { name: 'a', act: 'boot', seconds: 100, text: 'one' },
  { name: 'b', act: 'boot', seconds: 200, text: 'two' },
  { name: 'c', act: 'rollout', seconds: 300, text: 'three' },
];

test('the programme says what comes and when', (t) => {
  t.is(
    programme(phases, true),
    [
      'What you will see, and about when (on two quiet cores without KVM; a busy machine takes longer):',
      '   0:00  one',
      '   1:40  two',
      '   5:00  three',
      '  10:00  the end',
    ].join('\n'),
  );
  t.regex(programme(phases, false), /this machine has it and is faster/);
  t.true(
    PHASES.reduce((sum, { seconds }) => sum + seconds, 0) <= 18 * 60,
    'the whole story, on a quiet machine',
  );
});

test('what is left goes down while a phase goes on, and never below the phases to come', (t) => {
  const forecast = new Forecast(phases, 0);
  t.is(forecast.left(0), 600);
  t.is(forecast.left(40_000), 560);
  t.is(forecast.left(500_000), 500, 'the first phase takes longer than was said');
});

test('a machine that was half as fast until now is expected to stay so', (t) => {
  const forecast = new Forecast(phases, 1000);
  forecast.enter('b', 201_000);
  t.is(forecast.left(201_000), 1000);
  forecast.enter('a', 202_000);
  t.is(forecast.left(201_000), 1000, 'it does not go back');
  forecast.enter('unknown', 202_000);
  forecast.enter('c', 601_000);
  t.is(forecast.left(601_000), 600);
});

test('what takes minutes or seconds by chance says nothing of the pace', (t) => {
  const forecast = new Forecast([{ ...phases[0]!, varies: true }, ...phases.slice(1)], 0);
  forecast.enter('b', 5_000);
  t.is(forecast.left(5_000), 500);
  forecast.enter('c', 105_000);
  t.is(forecast.left(105_000), 150);
});

test('in words', (t) => {
  t.is(inWords(0), 'about a minute left');
  t.is(inWords(60), 'about a minute left');
  t.is(inWords(61), 'about 2 minutes left');
});
