/** The commands as people give them, in this process: starting one for each would be most of a test's time. */
import type { ExecutionContext } from 'ava';
import { BootwaveError } from '../../base/error.ts';
import { dataPaths } from '../../base/paths.ts';
import { Turns } from '../../base/turns.ts';
import { program } from '../../cli/program.ts';
import { doorOf } from '../orchestrator/operations/support.ts';

export type Ran = {
  /** As the process would exit. */
  exit: number;
  /** Of the error; empty without one. */
  code: string;
  what: string;
  /** The whole of it, with what was left unchanged. */
  message: string;
  out: string;
  /** With `--json`: the last line. */
  value: ReturnType<typeof JSON.parse>;
};

/** The process has one console and one environment: of several tests at once one gives its command after the other. */
const turns = new Turns();

/** Commands against a server of this data directory, which runs until the test ends. */
export function commandsOn(t: ExecutionContext, root: string) {
  let door: Promise<unknown> | null = null;
  const command = async (who: string, ...args: string[]): Promise<Ran> => {
    const before = { log: console.log, user: process.env.SUDO_USER, url: process.env.BOOTWAVE_REDIS_URL };
    const exitCode = process.exitCode;
    const lines: string[] = [];
    console.log = (text: string) => void lines.push(text);
    process.env.SUDO_USER = who;
    process.env.BOOTWAVE_REDIS_URL = '';
    process.exitCode = 0;
    try {
      const words = ['--data', root, ...args];
      await (await program(words)).parseAsync(words, { from: 'user' });
      const value = args.includes('--json') ? JSON.parse(lines.at(-1) ?? 'null') : null;
      return {
        exit: Number(process.exitCode),
        code: '',
        what: '',
        message: '',
        out: lines.join('\n'),
        value,
      };
    } catch (error) {
      if (!(error instanceof BootwaveError)) throw error;
      return {
        exit: 1,
        code: error.code,
        what: error.what,
        message: error.message,
        out: lines.join('\n'),
        value: null,
      };
    } finally {
      console.log = before.log;
      process.exitCode = exitCode;
      restore('SUDO_USER', before.user);
      restore('BOOTWAVE_REDIS_URL', before.url);
    }
  };
  return async (...words: Parameters<typeof command>): Promise<Ran> => {
    door ??= doorOf(t, dataPaths(root));
    await door;
    return turns.take(() => command(...words));
  };
}

function restore(name: string, value: string | undefined): void {
  if (value === undefined) delete process.env[name];
  else process.env[name] = value;
}
