import test from 'ava';
import { Forecast, type Phase } from '../../../lab/demo/forecast.ts';
import { View } from '../../../lab/demo/view.ts';

const phases: readonly Phase[] = [
  { name: 'a', act: 'boot', seconds: 300, text: 'one' },
  { name: 'b', act: 'boot', seconds: 300, text: 'two' },
];

function screen(isTTY: boolean) {
  let text = '';
  const out = { isTTY, columns: 60, write: (piece: string) => (text += piece) };
  return { view: new View(out as unknown as NodeJS.WriteStream), shown: () => text };
}

/** What a terminal shows in the end: `ESC [ n A ESC [ J` goes up n lines and clears what is below. */
function rendered(text: string): string[] {
  let lines: string[] = [''];
  // biome-ignore lint/suspicious/noControlCharactersInRegex: terminal sequences are made of them
  for (const piece of text.split(/(\x1b\[\d+A\x1b\[J|\n)/)) {
    const up = /\[(\d+)A/.exec(piece)?.[1];
    if (up !== undefined) lines = [...lines.slice(0, lines.length - 1 - Number(up)), ''];
    else if (piece === '\n') lines.push('');
    else lines[lines.length - 1] += piece;
  }
  return lines.filter((line) => line !== '');
}

test('on a terminal what is left stands below the bars, and nothing stays at the end', (t) => {
  const { view, shown } = screen(true);
  view.forecast(new Forecast(phases, performance.now()));
  view.bars([{ name: 'n1', fraction: 0.5, text: 'half' }]);
  view.say('something');
  t.deepEqual(rendered(shown()), [
    '[   0 s] something',
    '  n1     [##############..............] half',
    '  about 10 minutes left',
  ]);
  view.end();
  t.deepEqual(rendered(shown()), ['[   0 s] something']);
});

test('elsewhere it is said once for each phase, and no bar is drawn', (t) => {
  const { view, shown } = screen(false);
  view.forecast(new Forecast(phases, performance.now()));
  view.bars([{ name: 'n1', fraction: 0.5, text: 'half' }]);
  view.enter('b');
  // The first took no time at all; more than four times faster than said is not believed.
  t.deepEqual(rendered(shown()), ['[   0 s] (about 2 minutes left)']);
});
