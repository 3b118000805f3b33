import test from 'ava';
import type { View } from '../../../../image/agent/member/core/state.ts';
import { banner, screen } from '../../../../image/agent/member/screen.ts';

const view = (change: Partial<View>): View => ({
  phase: 'starting',
  words: null,
  name: null,
  notice: null,
  ...change,
});

test('programs find state and words on lines of their own', (t) => {
  const lines = screen(view({ phase: 'pending', words: ['apple', 'bacon', 'cabin', 'daring'] }), [
    '10.0.0.5',
  ]).split('\n');
  t.true(lines.includes('bootwave: words apple bacon cabin daring'));
  t.true(lines.includes('bootwave: state pending'));
});

test('people read the four words in capitals inside a box that no line leaves', (t) => {
  const lines = screen(view({ phase: 'pending', words: ['art', 'bacon', 'cabin', 'abstract'] }), []).split(
    '\n',
  );
  t.true(lines.some((line) => line.includes('4   A B S T R A C T')));
  const boxed = lines.filter((line) => /^ {3}[|+]/.test(line));
  t.is(new Set(boxed.map((line) => line.length)).size, 1);
  t.true(lines.every((line) => line.length <= 80 || line.startsWith('   Waiting')));
});

test('words stand there only while someone has to compare them', (t) => {
  t.notRegex(screen(view({ phase: 'server-lost', words: ['a', 'b', 'c', 'd'] }), []), /words/);
});

test('the approved name, the address and what is wrong are said', (t) => {
  const text = screen(view({ phase: 'server-lost', name: 'n1', notice: 'gone [X]' }), ['10.0.0.5']);
  for (const part of ['Name: n1', '10.0.0.5', 'gone [X]']) t.true(text.includes(part));
});

test('the first lines say what this machine is', (t) => {
  const text = banner({ version: '1.0', product: 'Box', serial: 'S1' }, ['10.0.0.5']);
  t.regex(text, /Bootwave 1\.0: Box, serial S1/);
  t.regex(
    banner({ version: '1.0', product: '', serial: '' }, []),
    /unknown machine, no serial number\nAddress: no address yet/,
  );
});
