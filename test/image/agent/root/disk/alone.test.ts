import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import test from 'ava';
import { alone } from '../../../../../image/agent/root/disk/alone.ts';

const MODULE = join(import.meta.dirname, '../../../../../image/agent/root/disk/alone.ts');
/** Milliseconds; generous, because nothing here should take any time. */
const WITHIN = 120_000;
const name = (what: string) => `bootwave-test-${process.pid}-${what}`;

test('one after the other, also when the first fails', async (t) => {
  const order: string[] = [];
  const one = (word: string) =>
    alone(
      name('turns'),
      async () => {
        order.push(`${word} begins`);
        await new Promise((resolve) => setImmediate(resolve));
        order.push(`${word} ends`);
        throw new Error(word);
      },
      { within: WITHIN, again: 1 },
    );
  const done = await Promise.allSettled([one('a'), one('b'), one('c')]);
  t.true(done.every(({ status }) => status === 'rejected'));
  for (let i = 0; i < 6; i += 2) t.is(order[i]?.[0], order[i + 1]?.[0], order.join(', '));
});

test('a helper that was killed holds nothing; one that lives is waited for, and said to be in the way', async (t) => {
  const lock = name('killed');
  const program = `
    const { alone } = await import(${JSON.stringify(MODULE)});
    await alone(${JSON.stringify(lock)}, () => { console.log('has it'); return new Promise(() => setInterval(() => {}, 1000)); });
  `;
  const other = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => other.kill('SIGKILL'));
  await once(other.stdout, 'data');
  await t.throwsAsync(
    alone(lock, async () => {}, { within: 0, again: 1 }),
    { code: 'DISK_BUSY' },
  );
  other.kill('SIGKILL');
  t.is(await alone(lock, async () => 'mine', { within: WITHIN, again: 1 }), 'mine');
});
