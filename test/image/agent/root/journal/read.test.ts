/** What an instance has written, from a real journal. */
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { helperAt } from '../../../../../image/agent/member/helper-client.ts';
import { readLog } from '../../../../../image/agent/root/journal/read.ts';
import type { AskJournal } from '../../../../../protocol/agent/journal.ts';
import { instanceId, instanceUnit } from '../../../../../protocol/agent/units.ts';
import { LOG_LIMITS, type LogLine, logsSchema } from '../../../../../protocol/link/logs.ts';
import { helperSocket } from '../helper-socket.ts';
import { journal } from './journal.ts';

const unitOf = (name: string) => instanceUnit(instanceId(name));

test.serial(
  'an instance has its own lines, those of no other, the newest of them, and in their order',
  async (t) => {
    t.timeout(180_000);
    const { command, write } = await journal(t);
    const read = (name: string, more: { age?: number; lines?: number } = {}, now = Date.now()) =>
      readLog({ name, age: null, lines: 100, ...more }, { command, now: () => now });
    const lines = (n: number) => Array.from({ length: n }, (_, i) => `line ${i}\n`).join('');
    await write(unitOf('web/shop@probe'), lines(30));
    await write(unitOf('web/shop@other'), 'of another slice\n');
    await write(unitOf('web/shop'), "the fleet's own\n");
    await write('bootwave-agent.service', 'of the agent\n');
    // Until the journal has taken all of it.
    while ((await read('web/shop')).lines.length === 0 || (await read('web/shop@probe')).lines.length < 30)
      await sleep(50);

    const { lines: all, more } = await read('web/shop@probe');
    t.false(more);
    t.deepEqual(
      all.map(({ text }) => text),
      lines(30).trim().split('\n'),
    );
    t.true(all.every(({ byNode, severity, at }) => !byNode && severity === 6 && at > 1.6e12));
    t.deepEqual(
      (await read('web/shop')).lines.map(({ text }) => text),
      ["the fleet's own"],
    );
    t.deepEqual((await read('web/never@probe')).lines, []);

    const few = await read('web/shop@probe', { lines: 3 });
    t.deepEqual([few.lines.map(({ text }) => text), few.more], [['line 27', 'line 28', 'line 29'], true]);
    t.false((await read('web/shop@probe', { lines: 30 })).more);
    t.is((await read('web/shop@probe', { age: 3600_000 })).lines.length, 30);
    t.is((await read('web/shop@probe', { age: 1000 }, Date.now() + 3600_000)).lines.length, 0);
  },
);

test.serial('long and strange lines are cut and made harmless, and an answer fits a frame', async (t) => {
  t.timeout(180_000);
  const { command, write } = await journal(t);
  const name = 'web/shop@probe';
  const read = () => readLog({ name, age: null, lines: LOG_LIMITS.lines }, { command, now: Date.now });
  await write(
    unitOf(name),
    `\u001b[2Jcleared\tscreen\n\xff\xfe no text\n<3>an error\n${'x'.repeat(20_000)}\n`,
  );
  while ((await read()).lines.length < 4) await sleep(50);
  const [steering, bytes, error, long] = (await read()).lines;
  t.is(steering?.text, ' [2Jcleared screen');
  t.regex(bytes?.text ?? '', /^\ufffd+ no text$/);
  t.like(error, { text: 'an error', severity: 3 });
  t.is(long?.text.length, LOG_LIMITS.text);
  await write(unitOf(name), `${'y'.repeat(1500)}"\n`.repeat(200));
  while ((await read()).lines.length < 30) await sleep(50);
  const full = await read();
  t.true(full.more);
  t.true(logsSchema.safeParse(full).success);
  t.true(Buffer.byteLength(JSON.stringify(full)) < LOG_LIMITS.bytes + 4096);
  t.true(
    full.lines.every(({ text }) => text.startsWith('y')),
    'the newest are there, the others left out',
  );
});

test.serial('the agent asks over the socket, for an instance and for nothing else', async (t) => {
  t.timeout(180_000);
  const { inside, write } = await journal(t);
  const { path, close } = await helperSocket('journal', inside);
  t.teardown(close);
  await write(unitOf('web/shop'), 'hello\n');
  const ask = helperAt<AskJournal>(path);
  const asked = { name: 'web/shop', age: null, lines: 5 };
  let lines: LogLine[] = [];
  while (lines.length === 0) ({ lines } = await ask({ operation: 'instance-log', asked }));
  t.like(lines[0], { text: 'hello', byNode: false });
  for (const name of ['web/shop.service', '*', 'bootwave-agent', 'web/*', '../x'])
    await t.throwsAsync(ask({ operation: 'instance-log', asked: { ...asked, name } }), {
      code: 'HELPER_REQUEST',
    });
});

test('a journal that cannot be read says so, and an instance of which nobody knows has written nothing', async (t) => {
  await t.throwsAsync(
    readLog(
      { name: 'web/shop', age: null, lines: 1 },
      { command: ['sh', '-c', 'echo broken >&2; exit 3', '-'], now: Date.now },
    ),
    { code: 'JOURNAL_UNREADABLE', message: /broken/ },
  );
});
