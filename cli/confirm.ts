import { createInterface } from 'node:readline/promises';
import { refusal } from '../base/error.ts';
import { onTerminal } from './context.ts';

/** Whether a person at the terminal says yes; the question goes to the error output, where no pipe takes it. */
export async function saysYes(question: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = (await terminal.question(`${onTerminal(question)} [y/N] `)).trim().toLowerCase();
    return answer === 'y' || answer === 'yes';
  } finally {
    terminal.close();
  }
}

/** Asks a person; with `yes` the answer is yes without a question (`--yes`). @throws BootwaveError `UNCONFIRMED` */
export async function confirm(question: string, yes: boolean | undefined): Promise<void> {
  if (yes === true || (process.stdin.isTTY && (await saysYes(question)))) return;
  throw refusal('UNCONFIRMED', `not confirmed: ${question}`, 'answer y at a terminal, or say --yes');
}
