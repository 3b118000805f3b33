/** What ends a session, and what is kept of it. */
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex, PassThrough } from 'node:stream';
import test, { type ExecutionContext } from 'ava';
import { Carried } from '../../../orchestrator/operations/carried.ts';
import { type Sitting, sit } from '../../../orchestrator/power/session.ts';
import { beginTranscript } from '../../../orchestrator/power/transcript.ts';

const NEVER = { idle: 1e9, most: 1e9, look: 5 };

/** A line and a person with nothing behind them. */
function pair(change: Partial<Sitting> = {}) {
  const output = new PassThrough();
  const seen: string[] = [];
  const order: string[] = [];
  const person = new Duplex({
    read() {},
    write(bytes: Buffer, _, done) {
      seen.push(bytes.toString());
      order.push('seen');
      done();
    },
  });
  const line = { output, type: async () => {}, ended: new Promise<string>(() => {}), close: async () => {} };
  const stop = new AbortController();
  const sitting: Sitting = {
    ...{ line, person, signal: stop.signal, times: NEVER, still: async () => {} },
    transcript: { add: async () => void order.push('recorded') },
    ...change,
  };
  return { sitting, output, person, seen, order, stop };
}

test('whoever does not type is out after a while; what they see is no typing', async (t) => {
  const { sitting, output } = pair({ times: { ...NEVER, idle: 60 } });
  const talks = setInterval(() => output.write('tick'), 5);
  t.regex((await sit(sitting)).why, /^nobody typed/);
  clearInterval(talks);
});

test('who types goes on, up to the longest time', async (t) => {
  const { sitting, person } = pair({ times: { look: 5, idle: 100, most: 300 } });
  const types = setInterval(() => person.push('x'), 5);
  const { why, typed } = await sit(sitting);
  clearInterval(types);
  t.regex(why, /^it lasted/);
  t.true(typed > 1);
});

test('who closes the window is gone, also while a machine takes nothing of what they typed', async (t) => {
  const stuck = pair();
  stuck.sitting.line.type = () => new Promise(() => {});
  const over = sit(stuck.sitting);
  stuck.person.push('x');
  setImmediate(() => stuck.person.destroy());
  t.is((await over).why, 'the person left');
});

test('who was gone before it began holds no console', async (t) => {
  const socket = new PassThrough();
  socket.destroy();
  await once(socket, 'close');
  t.is((await sit(pair({ person: new Carried(socket) }).sitting)).why, 'the person left');
});

test('where nobody answers whether they still may, it ends', async (t) => {
  const { sitting } = pair({ still: () => new Promise(() => {}) });
  t.regex((await sit(sitting)).why, /^nobody knows whether they still may/);
});

test('nothing is seen that was not recorded first; what cannot be recorded ends it', async (t) => {
  const { sitting, output, seen, order, stop } = pair();
  output.write('one');
  const over = sit(sitting);
  while (seen.length < 1) await new Promise(setImmediate);
  stop.abort(new Error('taken'));
  t.is((await over).why, 'taken');
  t.deepEqual(order, ['recorded', 'seen']);

  const full = pair({ transcript: { add: () => Promise.reject(new Error('the disk is full')) } });
  full.output.write('secret');
  t.is((await sit(full.sitting)).why, 'the disk is full');
  t.deepEqual(full.seen, []);
});

async function folderOf(t: ExecutionContext) {
  const folder = await mkdtemp(join(tmpdir(), 'bw-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

test('a transcript ends at its size, whole lines only, and the oldest make room for new ones', async (t) => {
  const folder = await folderOf(t);
  const most = { one: 300, all: 1000 };
  const begin = (at: number) => beginTranscript(folder, { title: 'x', at }, most);
  const first = await begin(1e12);
  await t.throwsAsync(
    async () => {
      for (;;) await first.add(Buffer.from('twenty bytes of text'));
    },
    { code: 'CONSOLE_FULL' },
  );
  await first.end();
  const text = await readFile(join(folder, first.name), 'utf8');
  t.true(text.length <= most.one);
  t.is(
    text
      .trim()
      .split('\n')
      .map((one) => JSON.parse(one)).length,
    text.trim().split('\n').length,
  );

  await writeFile(join(folder, 'other.txt'), 'x'.repeat(5000));
  for (let i = 1; i <= 4; i++) {
    const next = await begin(1e12 + i * 1000);
    await t.throwsAsync(
      async () => {
        for (;;) await next.add(Buffer.from('twenty bytes of text'));
      },
      { code: 'CONSOLE_FULL' },
    );
    await next.end();
  }
  const kept = (await readdir(folder)).sort();
  t.false(kept.includes(first.name));
  t.true(kept.includes('other.txt'));
  t.true(kept.length >= 3);
});

test('characters that come in pieces are whole in the record', async (t) => {
  const folder = await folderOf(t);
  const transcript = await beginTranscript(folder, { title: 'x', at: 1e12 });
  const bytes = Buffer.from('é');
  await transcript.add(bytes.subarray(0, 1));
  await transcript.add(bytes.subarray(1));
  await transcript.end();
  const lines = (await readFile(join(folder, transcript.name), 'utf8')).trim().split('\n').slice(1);
  t.is(lines.map((line) => JSON.parse(line)[2]).join(''), 'é');
});
