import test from 'ava';
import { InFlight } from '../../bootserver/in-flight.ts';

test('a question that waits is not begun again, and its place is free when it was answered', async (t) => {
  const waiting = new InFlight();
  const answers: (() => void)[] = [];
  const work = () => new Promise<void>((resolve) => answers.push(resolve));
  t.true(waiting.take('a', true, work));
  t.true(waiting.take('a', true, work));
  t.is(answers.length, 1);
  answers[0]!();
  await waiting.settled();
  t.true(waiting.take('a', true, work));
  t.is(answers.length, 2);
});

test('a flood of clients that begin leaves room for those that are half way through', (t) => {
  const waiting = new InFlight();
  const never = () => new Promise<void>(() => {});
  const taken = (begins: boolean) =>
    Array.from({ length: 9000 }, (_, n) => waiting.take(`${begins} ${n}`, begins, never)).filter(Boolean)
      .length;
  t.is(taken(true), 4096);
  t.is(taken(false), 4096);
  t.false(waiting.take('one more', false, never));
});
