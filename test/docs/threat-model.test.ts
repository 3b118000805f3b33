/** A page that says what is proven must name proofs that exist. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { pageAt, REPOSITORY } from './pages.ts';

test('each row of docs/threat-model.md names tests, and each of them is there under its title', async (t) => {
  const { text } = await pageAt('docs/threat-model.md');
  const table = text.slice(text.indexOf('| stolen |')).split('\n\n')[0]!.split('\n').slice(2);
  t.true(table.length >= 10);
  for (const row of table) {
    const proofs = row.split('|').at(-2)!.trim().split('<br>');
    for (const proof of proofs) {
      const [, file = '', title = ''] = /^`(test\/\S+\.(?:test|rack)\.ts)`: (.+)$/.exec(proof) ?? [];
      t.not(title, '', `${proof} is no test`);
      t.true(titlesOf(await source(file)).includes(title), `${file} has no test '${title}'`);
    }
  }
});

const source = (file: string) => readFile(join(REPOSITORY, file), 'utf8').catch(() => '');

/** Written out, or made of a list: then the words around what differs must stand in the file. */
function titlesOf(text: string): { includes(title: string): boolean } {
  const literal = [...text.matchAll(/\btest(?:\.serial)?\(\s*(['"`])((?:\\.|(?!\1).)*)\1/g)].map(
    ([, , title]) => title!,
  );
  const patterns = literal.map((title) => {
    const parts = title.split(/\$\{[^}]*\}/).map((part) => literally(part.replace(/\\(.)/g, '$1')));
    return new RegExp(`^${parts.join('.+')}$`);
  });
  return { includes: (title) => patterns.some((pattern) => pattern.test(title)) };
}

const literally = (text: string) => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
