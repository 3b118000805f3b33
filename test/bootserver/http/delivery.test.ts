/** What is measured of downloads: by a clock of the test, and of real clients, slow and fast, over real connections. */
import { get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import fc from 'fast-check';
import { Delivery } from '../../../bootserver/http/delivery.ts';
import { roomFor } from '../../../orchestrator/recovery/pace.ts';
import { publishHole, startFixture } from './fixture.ts';

const MIB = 2 ** 20;

function clocked() {
  const clock = { now: 0 };
  return { clock, delivery: new Delivery({ slice: 1000, now: () => clock.now }) };
}

test('bytes of all downloads together, by the time in which any was under way; pauses do not count', (t) => {
  const { clock, delivery } = clocked();
  const [a, b] = [delivery.begin(500), delivery.begin(700)];
  t.is(delivery.measured(), null);
  clock.now += 600;
  a.sent(300);
  a.end();
  clock.now += 300;
  b.sent(300);
  b.end();
  clock.now += 1e6;
  const c = delivery.begin(900);
  clock.now += 100;
  c.sent(400);
  t.deepEqual(delivery.measured(), { rate: 600, image: 900 }, 'the last bytes belong to what comes then');
  c.end();
});

test('neither a burst nor a client that hangs is what is measured, and old measurements go', (t) => {
  const { clock, delivery } = clocked();
  const one = delivery.begin(1);
  for (const bytes of [9999, 100, 100, 0, 100, 100, 0, 100]) {
    one.sent(bytes);
    clock.now += 1000;
  }
  one.sent(0);
  t.is(delivery.measured()!.rate, 100);
  for (let i = 0; i < 12; i += 1) {
    one.sent(7);
    clock.now += 1000;
  }
  one.sent(0);
  t.is(delivery.measured()!.rate, 7);
});

test('whatever clients do, it is a number of bytes that somebody took', (t) => {
  const acts = fc.array(fc.record({ wait: fc.nat(5000), bytes: fc.nat(1e6), ends: fc.boolean() }), {
    maxLength: 50,
  });
  t.notThrows(() =>
    fc.assert(
      fc.property(acts, (all) => {
        const { clock, delivery } = clocked();
        let total = 0;
        for (const { wait, bytes, ends } of all) {
          const one = delivery.begin(10);
          clock.now += wait;
          one.sent(bytes);
          total += bytes;
          if (ends) one.end();
        }
        const rate = delivery.measured()?.rate ?? 0;
        return Number.isFinite(rate) && rate >= 0 && rate <= total;
      }),
    ),
  );
});

test.serial(
  'a client that takes little is measured as slow, fewer machines have room then; one that takes all it gets is not',
  async (t) => {
    const measured = async (pause: number, image: number) => {
      const delivery = new Delivery({ slice: 250 });
      const fixture = await startFixture({ delivery });
      t.teardown(fixture.stop);
      await publishHole(fixture.images, '2.0', image);
      const began = performance.now();
      let bytes = 0;
      await new Promise<void>((resolve, reject) => {
        get(
          `${fixture.url}/m/52-54-00-12-34-56/bootwave_2.0.efi`,
          { highWaterMark: 64 * 1024 } as object,
          async (response) => {
            try {
              for await (const piece of response as AsyncIterable<Buffer>) {
                bytes += piece.length;
                if (pause > 0) await sleep(pause);
              }
              resolve();
            } catch (error) {
              reject(error as Error);
            }
          },
        ).on('error', reject);
      });
      t.is(bytes, image);
      const own = (bytes / (performance.now() - began)) * 1000;
      return { own, ...delivery.measured()! };
    };
    const slow = await measured(10, 24 * MIB);
    t.is(slow.image, 24 * MIB);
    t.true(
      slow.rate < slow.own * 3 && slow.rate > slow.own / 3,
      `${slow.rate} measured, ${slow.own} by the client`,
    );
    const fast = await measured(0, 512 * MIB);
    t.true(fast.rate > 2 * slow.rate, `${fast.rate}, ${slow.rate}`);
    t.true(roomFor({ ...fast, image: 1 << 30 }) > roomFor({ ...slow, image: 1 << 30 }));
  },
);

test('each download ends once, also one whose client goes away in the middle', async (t) => {
  const seen: string[] = [];
  const delivery = {
    begin: () => ({ sent: () => {}, end: () => void seen.push('end') }),
  };
  const fixture = await startFixture({ delivery });
  t.teardown(fixture.stop);
  await publishHole(fixture.images, '2.0', 64 * MIB);
  const url = `${fixture.url}/m/52-54-00-12-34-56/bootwave_2.0.efi`;
  await (await fetch(url)).arrayBuffer();
  const stop = new AbortController();
  await fetch(url, { signal: stop.signal });
  stop.abort();
  while (seen.length < 2) await sleep(10);
  t.is(seen.length, 2);
});
