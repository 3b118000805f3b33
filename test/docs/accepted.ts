/** Whether a command line is one that exists, without doing it. */
import type { Command } from 'commander';
import { program } from '../../cli/program.ts';

/** Every command with its arguments read and judged, and nothing done. */
async function harmless(): Promise<Command> {
  const bootwave = await program();
  const quiet = (command: Command): void => {
    command.configureOutput({ writeErr: () => {}, writeOut: () => {}, outputError: () => {} });
    if (command.commands.length === 0) command.action(() => {});
    command.commands.forEach(quiet);
  };
  quiet(bootwave);
  return bootwave;
}

/** @returns why it is none; undefined: it is one */
export async function refusal(line: readonly string[]): Promise<string | undefined> {
  try {
    await (await harmless()).parseAsync(line, { from: 'user' });
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
