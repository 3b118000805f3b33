import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { Console, plainText } from '../../lab/console.ts';

async function withLog(): Promise<{ path: string; remove: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'bw-'));
  return { path: join(folder, 'console.log'), remove: () => rm(folder, { recursive: true }) };
}
const reader = (path: string, from = 0, on = true) =>
  new Console('n1', { consoleLog: path, console: `${path}.sock` }, from, async () => on);

test('terminal sequences vanish wherever the stream is cut', (t) => {
  const raw = '\x1b[2J\x1b[01;01H\x1b[0m>>Start\x1b[0;37;40m HTTP\x1bc Boot\r\n';
  fc.assert(
    fc.property(fc.nat(raw.length), (cut) => {
      const first = plainText(raw.slice(0, cut));
      return first.text + plainText(first.rest + raw.slice(cut)).text === '>>Start HTTP Boot\n';
    }),
  );
  t.pass();
});

test('no byte that is not part of a sequence is lost', (t) => {
  fc.assert(
    fc.property(
      fc.stringMatching(/^[ -~\n]*$/),
      (text) => plainText(text).text === text && plainText(text).rest === '',
    ),
  );
  t.pass();
});

test('waits for what comes later, and goes on behind it', async (t) => {
  const { path, remove } = await withLog();
  t.teardown(remove);
  const console = reader(path);
  const words = console.waitFor(/words: (\w+)/);
  await writeFile(path, 'booting\nwords: al');
  await appendFile(path, 'pha beta\nlogin: login: ');
  t.regex((await words)[1] ?? '', /^al/);
  await console.waitFor(/login: /);
  await console.waitFor(/login: /);
  await t.throwsAsync(console.waitFor(/login: /, { timeout: 0 }), { code: 'LAB_CONSOLE_TIMEOUT' });
});

test('what an earlier power-on showed does not count', async (t) => {
  const { path, remove } = await withLog();
  t.teardown(remove);
  await writeFile(path, 'healthy\n');
  const console = reader(path, 'healthy\n'.length);
  await t.throwsAsync(console.waitFor(/healthy/, { timeout: 0 }), { code: 'LAB_CONSOLE_TIMEOUT' });
});

test('a wait ends with its signal, and on a node that stays off', async (t) => {
  const { path, remove } = await withLog();
  t.teardown(remove);
  const signal = AbortSignal.abort(new Error('enough'));
  await t.throwsAsync(reader(path).waitFor(/x/, { signal }), { message: 'enough' });
  await t.throwsAsync(reader(path, 0, false).waitFor(/x/), { code: 'LAB_NODE_OFF' });
});

test('the error shows what the console showed last', async (t) => {
  const { path, remove } = await withLog();
  t.teardown(remove);
  await writeFile(path, 'Access \x1b[1mDenied\x1b[0m\n');
  const error = await t.throwsAsync(reader(path).waitFor(/login/, { timeout: 0 }));
  t.regex(error?.message ?? '', /Access Denied/);
});
