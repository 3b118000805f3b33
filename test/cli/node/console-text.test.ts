import test from 'ava';
import fc from 'fast-check';
import { ConsoleText } from '../../../cli/node/console-text.ts';

const shown = (...pieces: (string | Uint8Array)[]) => {
  const text = new ConsoleText();
  return Buffer.concat(pieces.map((piece) => text.next(Buffer.from(piece)))).toString('latin1');
};

test('screens come through: text, colours, cursor, other characters', (t) => {
  const screen = '\x1b[2J\x1b[1;1H\x1b[32mUEFI Setup\x1b[0m\r\n\x1b7\x1b8\x1b(B';
  t.is(shown(screen), screen);
  const words = 'Grüße © ▀ 日本 🙂\r\n';
  t.is(Buffer.from(shown(words), 'latin1').toString(), words);
});

test('strings for the terminal itself do not, whole or in pieces; what follows does', (t) => {
  t.is(shown('a\x1b]52;c;cm0=\x07b'), 'ab');
  t.is(shown('a\x1b', ']0;title', '\x1b', '\\b'), 'ab');
  t.is(shown('a\x1bP$q\x1b\\b\x1b_x\x1b\\c\x1b^x\x1b\\d\x1bXx\x1b\\e'), 'abcde');
  t.is(shown('\x1bPpanic: no end\r\nmore'), '\nmore');
  t.is(shown('a\u009d52;c;x\u0007'), 'a52;c;x\x07');
  t.is(shown(`\x1b]${'x'.repeat(5000)}`).length, 5000 - 4096);
});

test('nothing has the terminal type: no question to it, no mode in which it tells of mouse, focus or paste, or types nothing', (t) => {
  const asks = [
    '\x1b[6n',
    '\x1b[?6n',
    '\x1b[c',
    '\x1b[>0c',
    '\x1b[21t',
    '\x1b[18t',
    '\x1b[x',
    '\x1b[?25$p',
    '\x1b[>q',
  ];
  const modes = ['\x1b[?1000h', '\x1b[?1004;25h', '\x1b[?2004h', '\x1b[?9h', '\x1b[2h', '\x1b[5i', '\x1b[?u'];
  for (const one of [...asks, ...modes, '\x05', '\x1bZ']) t.is(shown(`a${one}b`), 'ab', JSON.stringify(one));
  t.is(shown('a\x1b[6\nn'), 'a\nn', 'what is broken off in the middle was never begun');
  t.is(shown('a\x1b[6\x1b[32mb'), 'a\x1b[32mb');
  t.is(shown(`\x1b[${'1'.repeat(100)}m`).includes('\x1b'), false);
  const modern =
    '\x1b[?25l\x1b[38;5;12m\x1b[38:2::1:2:3m\x1b[?1049h\x1b[=3h\x1b[2K\x1b[5;20r\x1b[s\x1b[u\x1b[?7l';
  t.is(shown(modern), modern);
});

const BYTES = fc.array(
  fc.oneof(
    fc.constantFrom(
      0x1b,
      0x5b,
      0x3f,
      0x36,
      0x6e,
      0x63,
      0x74,
      0x05,
      0xc2,
      0x5d,
      0x50,
      0x5e,
      0x5f,
      0x58,
      0x5c,
      0x07,
      0x0a,
      0x9d,
      0x90,
      0x41,
    ),
    fc.integer({ min: 0, max: 255 }),
  ),
  { maxLength: 40 },
);

test('whatever comes, in whatever pieces, no beginning of such a string is shown', (t) => {
  fc.assert(
    fc.property(fc.array(BYTES, { maxLength: 6 }), (pieces) => {
      const bytes = shown(...pieces.map((piece) => Uint8Array.from(piece)));
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
      t.notRegex(bytes, /\x1b[PX\]^_Z]|\x05|\xc2[\x80-\x9f]|\x1b\[[^@-~]*[cnpqtxy]/);
      t.is(bytes, shown(Uint8Array.from(pieces.flat())));
    }),
    { numRuns: 3000 },
  );
});
