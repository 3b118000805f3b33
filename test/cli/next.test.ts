/** What the program tells people to type can be typed so. */
import test from 'ava';
import { program } from '../../cli/program.ts';
import { refusal } from '../docs/accepted.ts';
import { words } from '../docs/pages.ts';
import { sourceText } from '../docs/source.ts';

const nouns = (await program()).commands.map((command) => command.name());

/** Commands in the texts of a source: whole ones behind a colon, and between quotes those that are more than a name. */
function saidIn(source: string): string[] {
  const text = source.replace(/^\s*(?:\/?\*|\/\/).*$/gm, '').replace(/\$\{[^}]*\}/g, '1');
  const behind = [...text.matchAll(/: bootwave ((?: '[^'\n]*'| "[^"\n]*"|[^;,(`'"\n])+)/g)].map(
    ([, line = '']) => line,
  );
  const quoted = [...text.matchAll(/(['"`])bootwave ([^\n]*?)\1/g)]
    .map(([, , line = '']) => line.replace(/[;,(].*$/, ''))
    .filter((line) => !/^[a-z][a-z -]*$/.test(line));
  return (
    [...behind, ...quoted]
      .map((line) => line.replace(/\.\.\.$/, '').trim())
      // Options that the program puts together, and words that signatures begin with.
      .filter(
        (line) =>
          !/^(?:node (?:1 1|expect)|up --interface 1 1|recovery resume1|operator (?:proof|vote)) ?/.test(
            line,
          ),
      )
      .filter((line) => line.startsWith('--') || nouns.includes(line.split(' ')[0] ?? ''))
  );
}

test('every command that a text of the program says is accepted as it stands', async (t) => {
  const said = [...new Set(saidIn(await sourceText()))];
  t.true(said.length > 30, `${said.length}`);
  const refused: string[] = [];
  for (const line of said) {
    const why = await refusal(words(line));
    // A word for what a person puts there, or a value that is known only then.
    if (why !== undefined && !/(?:value|argument) '(?:[A-Z]+|1)' is invalid|outputHelp/.test(why))
      refused.push(`${line}: ${why}`);
  }
  t.deepEqual(refused, []);
});

test('a command that lacks what it needs would be found', async (t) => {
  const found = saidIn(
    "next: `say it: bootwave node bmc set 1`, `'bootwave node show' and 'bootwave node show A B'`",
  );
  t.deepEqual(found, ['node bmc set 1', 'node show A B']);
  for (const line of found) t.truthy(await refusal(words(line)), line);
});

test('a wrong argument is named in the refusal, as a wrong option is', async (t) => {
  for (const [line, name] of [
    ['slice unreserve probe one', 'number'],
    ['service capacity set web none --reason x', 'least'],
  ] as const)
    t.regex((await refusal(words(line))) ?? '', new RegExp(`argument '${name}'.*whole number`), line);
});
