import test from 'ava';
import { harmless, table } from '../../cli/context.ts';

test('nothing that a machine says of itself can steer the terminal or reorder a line', (t) => {
  const nasty = ['\u001b', '\u009b', '\n', '\u202e', '\u2066', '\u200b', '\u2028', '\u00ad', '\ud800'];
  t.is(harmless(nasty.join('')), '\ufffd'.repeat(nasty.length));
  t.is(harmless('Müller GmbH 部品 no. 7'), 'Müller GmbH 部品 no. 7');
  t.false(table(['A'], [['x\u001b[2J']]).includes('\u001b'));
});
