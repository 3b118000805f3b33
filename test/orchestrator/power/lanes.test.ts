/** What BMCs that are slow, or lie, cost the others. */
import { mock } from 'node:test';
import test from 'ava';
import { Lanes } from '../../../orchestrator/power/lanes.ts';
import { inLane } from '../../../orchestrator/power/reach.ts';

/** Ends only when its signal does. */
const endless = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason));
    if (signal.aborted) reject(signal.reason);
  });

const turns = () => new Promise((resolve) => setImmediate(resolve));

test('one deaf BMC keeps only those waiting that wait for it', async (t) => {
  const lanes = new Lanes(4, 4);
  const log: string[] = [];
  let wake = () => {};
  const asleep = new Promise<void>((resolve) => {
    wake = resolve;
  });
  const deaf = [1, 2, 3, 4, 5].map((n) =>
    lanes.take('deaf', 'ams', () => asleep.then(() => log.push(`deaf ${n}`))),
  );
  await Promise.all([1, 2, 3, 4, 5, 6].map((n) => lanes.take(`b${n}`, 'ams', async () => log.push(`b${n}`))));
  t.deepEqual(log, ['b1', 'b2', 'b3', 'b4', 'b5', 'b6']);
  wake();
  await Promise.all(deaf);
  t.deepEqual(
    log.slice(6),
    [1, 2, 3, 4, 5].map((n) => `deaf ${n}`),
  );
});

test('no more than so many at once, also where some fail', async (t) => {
  const lanes = new Lanes(3, 3);
  let [now, most] = [0, 0];
  const work = (n: number) => async () => {
    now += 1;
    most = Math.max(most, now);
    await new Promise((resolve) => setTimeout(resolve, 5));
    now -= 1;
    if (n % 2 === 0) throw new Error('even');
  };
  const all = await Promise.allSettled(
    Array.from({ length: 20 }, (_, n) => lanes.take(`${n}`, 'ams', work(n))),
  );
  t.is(most, 3);
  t.is(all.filter(({ status }) => status === 'rejected').length, 10);
});

test('however many BMCs of some sites are slow, each other site has a place at once', async (t) => {
  const lanes = new Lanes(4, 2);
  const slow = new AbortController();
  let busy = 0;
  const hang = async () => {
    busy += 1;
    await endless(slow.signal);
  };
  const all = ['ams', 'ber'].flatMap((site) =>
    Array.from({ length: 10 }, (_, n) => lanes.take(`${site} ${n}`, site, hang).catch(() => {})),
  );
  await turns();
  t.is(busy, 4);
  const log: number[] = [];
  await Promise.all([1, 2, 3].map((n) => lanes.take(`fra ${n}`, 'fra', async () => log.push(n))));
  t.deepEqual(log, [1, 2, 3]);
  slow.abort(new Error('over'));
  await Promise.all(all);
});

test('a site has its share; a place that gets free goes to the site that holds fewest', async (t) => {
  const lanes = new Lanes(4, 3);
  const log: string[] = [];
  const ends = new Map<string, () => void>();
  const take = (site: string, n: number) =>
    lanes.take(`${site} ${n}`, site, async () => {
      log.push(`${site} ${n}`);
      await new Promise<void>((resolve) => ends.set(`${site} ${n}`, resolve));
    });
  const all = [1, 2, 3, 4].map((n) => take('ams', n));
  await turns();
  t.deepEqual(log, ['ams 1', 'ams 2', 'ams 3'], 'its share, and one place is free');
  all.push(take('ber', 1), take('ber', 2));
  await turns();
  ends.get('ams 1')!();
  await turns();
  t.deepEqual(log.slice(3), ['ber 1', 'ber 2'], 'although the fourth of ams waits longer');
  ends.get('ber 1')!();
  await turns();
  t.is(log.at(-1), 'ams 4');
  for (const one of log.slice(1)) ends.get(one)!();
  await Promise.all(all);
});

test.serial('a turn with a BMC has an end, however many questions it is slow with', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
  const never = new AbortController().signal;
  const place = { host: '10.9.0.11', port: 623 };
  const slow = inLane(place, { site: 'ams' }, never, endless);
  const next = inLane(place, { site: 'ams' }, never, async () => 'the next one');
  await turns();
  mock.timers.tick(120_000);
  await t.throwsAsync(slow, { code: 'BMC_SLOW', message: /10\.9\.0\.11 .* after 120 s/ });
  t.is(await next, 'the next one');
});

test('who has gone while it waited for its turn asks nothing', async (t) => {
  const gone = AbortSignal.abort(new Error('gone'));
  const asked = inLane({ host: '10.9.0.12', port: 623 }, { site: 'ams' }, gone, async () => t.fail());
  await t.throwsAsync(asked, { message: 'gone' });
});
