/** `slice exec` at a terminal: what comes through a node may be of somebody who has taken it. */
import { join } from 'node:path';
import test from 'ava';
import { run } from '../../../base/run.ts';
import { owners } from '../../orchestrator/operations/exec/owners.ts';

const PROGRAM = join(import.meta.dirname, '../../../bin/bootwave');
/** The clipboard, what the terminal is called, a question to which it types an answer; and a colour. */
const SAYS = String.raw`printf "\033]52;c;ZXZpbA==\007\033]0;title\033\134\033[6n\033[31mred\033[0m\n"`;

test("neither an owner's terminal nor that of the core team is steered; a pipe gets the bytes as they are", async (t) => {
  t.timeout(5 * 60_000);
  const { eve, core, id, url, root, node } = await owners(t);
  const said = async (who: { file: string }, wrap: (words: string[]) => [string, string[]]) => {
    node.world.now = Date.now();
    const command = ['--', '/bin/busybox', 'sh', '-c', SAYS];
    const words = ['slice', 'exec', '--root', root, 'probe', '--node', id, '--service', 'shop', ...command];
    const { stdout } = await run(...wrap([PROGRAM, ...words]), {
      timeout: 120_000,
      env: { ...process.env, BOOTWAVE_SERVER: url, BOOTWAVE_OPERATOR: who.file },
    });
    return stdout;
  };
  const quoted = (words: string[]) => words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  for (const who of [eve, core])
    t.is(
      await said(who, (words) => ['script', ['-qec', quoted(words), '/dev/null']]),
      '\x1b[31mred\x1b[0m\r\n',
    );
  const raw = await said(eve, ([program = '', ...args]) => [program, args]);
  t.is(raw, '\x1b]52;c;ZXZpbA==\x07\x1b]0;title\x1b\\\x1b[6n\x1b[31mred\x1b[0m\n');
});
