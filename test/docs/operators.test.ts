/** The page's table of who may do what is what the declarations say. */
import test from 'ava';
import { lines } from './operators-table.ts';
import { pageAt } from './pages.ts';

test('docs/operators.md ends with the table of the declarations', async (t) => {
  const { text } = await pageAt('docs/operators.md');
  t.true(lines.length > 70);
  t.true(text.endsWith(`\n${lines.join('\n')}\n`), 'write it anew: node test/docs/operators-table.ts');
});
