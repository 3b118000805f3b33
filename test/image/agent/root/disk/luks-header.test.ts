import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { run } from '../../../../../base/run.ts';
import { formatLuks } from '../../../../../image/agent/root/disk/luks.ts';
import { strangeHeader } from '../../../../../image/agent/root/disk/luks-header.ts';

type Header = Record<string, Record<string, Record<string, unknown>>>;
let made: string;

test.before(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-luks-'));
  const device = join(folder, 'partition');
  await writeFile(device, '');
  await truncate(device, 32 * 1024 * 1024);
  const sealed = { public: 'A'.repeat(400), private: 'A'.repeat(400), floor: null, count: '0'.repeat(16) };
  const mustRun: typeof run = (...args) => run(...args);
  await formatLuks(device, Buffer.alloc(32, 7), sealed, { run, mustRun });
  made = (await run('cryptsetup', ['--disable-locks', 'luksDump', '--dump-json-metadata', device])).stdout;
  await rm(folder, { recursive: true });
});

const bent = (change: (header: Header) => void): string => {
  const header: Header = JSON.parse(made);
  change(header);
  return JSON.stringify(header);
};

test('what cryptsetup makes for us is ours, also with seals for a change to come', (t) => {
  t.is(strangeHeader(made), null);
  const more = bent(({ tokens }) => {
    for (const id of ['1', '2', '3']) tokens![id] = tokens!['0']!;
  });
  t.is(strangeHeader(more), null);
});

test('a header that encrypts nothing, takes all of the memory, or leaves no room is not', (t) => {
  const set = (change: Record<string, unknown>, ...path: string[]) =>
    bent((header) => {
      let at: Record<string, unknown> = header;
      for (const name of path) at = at[name] as Record<string, unknown>;
      Object.assign(at, change);
    });
  const none = { encryption: 'cipher_null-ecb' };
  const refused: [RegExp, string][] = [
    [/^segments\.0\.encryption /, set(none, 'segments', '0')],
    [/^segments\.0\.type /, set({ type: 'linear' }, 'segments', '0')],
    [/^segments\.0\.integrity /, set({ integrity: { type: 'none' } }, 'segments', '0')],
    [/^segments /, set({ '1': {} }, 'segments')],
    [/^keyslots\.0\.area\.encryption /, set(none, 'keyslots', '0', 'area')],
    [/^keyslots\.0\.kdf\.type /, set({ type: 'argon2id' }, 'keyslots', '0', 'kdf')],
    [/^keyslots /, set({ '1': {} }, 'keyslots')],
    [/^config\.requirements /, set({ requirements: { mandatory: ['online-reencrypt'] } }, 'config')],
    [/^it is longer /, set({ padding: 'x'.repeat(6000) }, 'config')],
    [/^it holds 32 tokens/, set(Object.fromEntries(Array.from({ length: 32 }, (_, i) => [i, {}])), 'tokens')],
  ];
  for (const [message, header] of refused) t.regex(strangeHeader(header) ?? '', message);
});

test('no text breaks it', (t) => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (any) => {
      t.not(strangeHeader(any), null);
    }),
  );
});
