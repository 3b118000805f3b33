/** What a person sees of a node in rescue: all of it is the node's own word. */
import test from 'ava';
import { onTerminal } from '../../../cli/context.ts';
import { lookOf, shownText } from '../../../cli/incident/access.ts';

const NASTY = '\u001b]0;owned\u0007\u001b[2J\u009b1A\r\u202e\u{e0041}\nrecorded as nothing';
const looked = (text: string | Buffer, more = false) => ({
  ...{ node: 'web1', until: 0 },
  seen: { bytes: Buffer.from(text as string).toString('base64'), more, transcript: 'a.cast', sha256: 'ab' },
});
const shown = (...args: Parameters<typeof shownText>) => onTerminal(shownText(...args));

test('whatever a node shows steers no terminal, and what is ours comes last', (t) => {
  const lines = shown(looked(`${NASTY}\tx`), ['journal']).split('\n');
  for (const line of lines) t.notRegex(line, /[\p{Cc}\p{Cf}]/u);
  t.is(lines.at(-1), 'recorded as a.cast, SHA-256 ab');
  t.true(lines.includes('recorded as nothing  x'));
  t.regex(shown(looked('a', true), ['kernel']), /the beginning is left out/);
});

test('bytes that are no text are counted, and written to a file where that is said', (t) => {
  const log = looked(Buffer.from([0, 1, 2, 0x1b]));
  t.regex(shown(log, ['event-log']), /^4 bytes; --save writes them\n/);
  t.regex(shown(log, ['event-log'], 'log.bin'), /^4 bytes, in log.bin\n/);
});

test('what cannot be looked at is refused with what is missing, or wrong', (t) => {
  const refused = (...words: string[]) => {
    const error = t.throws(() => lookOf(words), { code: 'LOOK_UNKNOWN' });
    return error?.message ?? '';
  };
  t.regex(refused('hash'), /'hash' needs the name of a disk; .*'disks' lists them/);
  t.regex(refused('hash', 'a', 'b'), /'hash a b' .*name one of .*hash DISK/);
  t.regex(refused('shell'), /'shell' .*name one of .*disks/);
  t.deepEqual(lookOf(['hash', 'a']), { look: 'hash', disk: 'a' });
});
