import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { withLock } from '../../lab/lock.ts';
import {
  identify,
  isAlive,
  parseStat,
  signalProcess,
  startDetached,
  stopProcess,
} from '../../lab/process.ts';

test('the start time is found behind any program name', (t) => {
  fc.assert(
    fc.property(fc.string(), fc.nat(), (name, start) => {
      const fields = ['S', ...Array(18).fill('0'), `${start}`, '0'];
      return parseStat(`1 (${name}) ${fields.join(' ')}`)?.startTime === `${start}`;
    }),
  );
  t.pass();
});

test('garbage is no process', (t) => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const stat = parseStat(text);
      return stat === undefined || /^\d+$/.test(stat.startTime);
    }),
  );
  t.is(parseStat(''), undefined);
});

test('a process that only has the pid is not ours: neither alive nor signalled', async (t) => {
  const stranger = spawn('sleep', ['60'], { stdio: 'ignore' });
  await once(stranger, 'spawn');
  const id = identify(stranger.pid!)!;
  const mistaken = { pid: id.pid, startTime: `${Number(id.startTime) - 1}` };
  t.false(isAlive(mistaken));
  t.false(signalProcess(mistaken, 'SIGKILL'));
  await stopProcess(mistaken, 0);
  t.true(isAlive(id), 'the stranger must live on');
  t.true(signalProcess(id, 'SIGKILL'));
  await once(stranger, 'exit');
  t.false(isAlive(id));
});

test('a zombie is dead', async (t) => {
  // The child ends when its input does: once its parent is a sleep, which reaps nobody. A shell would.
  const parent = spawn('sh', ['-c', 'exec 3<&0; cat <&3 & echo $!; exec sleep 60'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const [line] = (await once(parent.stdout!.setEncoding('utf8'), 'data')) as [string];
  const pid = Number(line);
  while ((await readFile(`/proc/${parent.pid}/comm`, 'utf8')) !== 'sleep\n') await new Promise(setImmediate);
  parent.stdin!.end();
  while ((await readFile(`/proc/${pid}/stat`, 'utf8')).split(' ')[2] !== 'Z') await new Promise(setImmediate);
  t.false(isAlive(identify(pid)!));
  parent.kill('SIGKILL');
});

test('a detached program leads a session of its own and goes with its children', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bw-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const { id } = await startDetached('sh', ['-c', 'sleep 61 & echo $!; wait'], join(folder, 'log'));
  let child = '';
  while (child === '') child = (await readFile(join(folder, 'log'), 'utf8')).trim();
  const childId = identify(Number(child))!;
  // proc(5): state, ppid, pgrp, session
  const fields = (await readFile(`/proc/${id.pid}/stat`, 'utf8')).split(') ').at(-1)?.split(' ') ?? [];
  t.deepEqual(fields.slice(2, 4), [`${id.pid}`, `${id.pid}`]);
  await stopProcess(id, 1000);
  while (isAlive(childId)) await new Promise((done) => setTimeout(done, 10));
  t.false(isAlive(id));
});

test('a missing program is a coded error', async (t) => {
  await t.throwsAsync(startDetached('no-such-program', [], '/dev/null'), { code: 'COMMAND_MISSING' });
});

test('the lock lets one at a time through, is refused while held, and outlives no holder', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bw-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const path = join(folder, 'lock');
  let inside = 0;
  let most = 0;
  const work = async () => {
    most = Math.max(most, ++inside);
    await new Promise((done) => setTimeout(done, 5));
    inside--;
  };
  await Promise.all(Array.from({ length: 8 }, () => withLock(path, work)));
  t.is(most, 1);

  await withLock(path, () => t.throwsAsync(withLock(path, work, 0), { code: 'LAB_BUSY' }));

  // Killed while holding it: the next one takes over.
  const module = new URL('../../lab/lock.ts', import.meta.url).pathname;
  const holder = spawn(process.execPath, [
    '--input-type=module',
    '-e',
    `import { withLock } from ${JSON.stringify(module)};
     await withLock(${JSON.stringify(path)}, async () => { console.log('held'); await new Promise(() => setInterval(() => {}, 1000)); });`,
  ]);
  await once(holder.stdout, 'data');
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  await t.notThrowsAsync(withLock(path, work, 0));
});
