/** The page's table of who may do what is the table that decides. */
import test from 'ava';
import { TABLE } from '../../orchestrator/operators/table.ts';
import { pageAt } from './pages.ts';

test('docs/operators.md shows each row of the table, as it is', async (t) => {
  const { text } = await pageAt('docs/operators.md');
  const rows = text.split('\n').filter((line) => line.startsWith('| `bootwave '));
  const expected = Object.entries(TABLE).map(([command, { who, site }]) => {
    const cell = (role: 'core' | 'site-admin' | 'viewer') => {
      if (who !== 'anyone' && !who.includes(role)) return ' ';
      return role === 'site-admin' && site !== null ? ' their sites ' : ' yes ';
    };
    const cells =
      who === 'anyone'
        ? ' anyone | anyone | anyone | anyone '
        : ` yes |${cell('core')}|${cell('site-admin')}|${cell('viewer')}`;
    return `| \`bootwave ${command}\` |${cells}|`;
  });
  t.deepEqual(rows, expected, `the table should be\n${expected.join('\n')}`);
});
