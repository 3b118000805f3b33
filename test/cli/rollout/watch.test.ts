/** What the watching says of itself, and how it ends. What it says of a rollout under way: rollout.test.ts. */
import test, { type ExecutionContext } from 'ava';
import { type WatchOptions, watchRollout } from '../../../cli/rollout/watch.ts';
import { operate } from '../../../orchestrator/rollout/run/operate.ts';
import { benchFor } from '../../orchestrator/rollout/run/support.ts';
import { lookAt } from './look.ts';

/** A rollout that nobody carries out, and a watcher whose words can be waited for. */
async function watcher(t: ExecutionContext, screen: WatchOptions['screen'] = null, json = false) {
  const bench = await benchFor(t, { count: 2 });
  const id = await bench.start();
  const stop = new AbortController();
  let said = '';
  let until: { word: RegExp; found: () => void } | null = null;
  const write = (text: string) => {
    said += text;
    if (until?.word.test(said) === true) until.found();
  };
  const exit = watchRollout(lookAt(bench, id), id, { json, signal: stop.signal, every: 10, screen, write });
  t.teardown(() => stop.abort());
  const hears = (word: RegExp) =>
    new Promise<void>((found) => {
      until = { word, found };
      if (word.test(said)) found();
    });
  return { ...bench, id, exit, hears, stop, said: () => said };
}

test('nobody carries it out: that is said once; Ctrl-C ends the watching and says that the rollout goes on', async (t) => {
  const { id, exit, hears, stop, said, state, redis } = await watcher(t);
  await hears(/nobody carries it out/);
  const other = 'operator:bob';
  await operate(redis, id, { type: 'pause', by: other, why: 'lunch' });
  await hears(/rollout running -> paused: lunch \(operator:bob\)/);
  stop.abort();
  t.is(await exit, 130);
  t.is(said().match(/nobody carries it out/g)?.length, 1);
  t.regex(
    said().trimEnd().split('\n').at(-1)!,
    new RegExp(`^no longer watched.*bootwave rollout watch ${id}`),
  );
  t.is((await state(id)).rollout.state, 'paused', 'it is as it was left');
});

test('on a terminal the last screen stays, with the word below it', async (t) => {
  const { exit, hears, stop, said } = await watcher(t, () => ({ columns: 60, rows: 24 }));
  await hears(/nobody carries it out/);
  stop.abort();
  t.is(await exit, 130);
  const last = said()
    .split('\x1b[H')
    .at(-1)!
    .replaceAll('\x1b[K', '')
    .replaceAll('\x1b[J', '')
    .trimEnd()
    .split('\n');
  t.true(last.length <= 24);
  t.true(last.every((line) => line.length <= 60));
  t.regex(last.at(-1)!, /^no longer watched/);
  t.true(
    last.some((line) => /^0 +canary +\[.{10,}\] +0\/2/.test(line)),
    last.join('\n'),
  );
});

test('as JSON every line is an object, the words of the watching too', async (t) => {
  const { exit, hears, stop, said } = await watcher(t, null, true);
  await hears(/"note"/);
  stop.abort();
  t.is(await exit, 130);
  const lines = said()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.like(lines[0], { type: 'state', state: 'running' });
  t.like(lines.at(-1), { type: 'note' });
});
