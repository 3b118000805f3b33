import { createInterface } from 'node:readline/promises';
import { BootwaveError } from '../base/error.ts';

/**
 * Asks a person; `yes` is the answer of one who cannot be asked (`--yes`).
 * @throws BootwaveError `UNCONFIRMED`
 */
export async function confirm(question: string, yes: boolean | undefined): Promise<void> {
  if (yes === true) return;
  if (process.stdin.isTTY) {
    const terminal = createInterface({ input: process.stdin, output: process.stderr });
    try {
      const answer = (await terminal.question(`${question} [y/N] `)).trim().toLowerCase();
      if (answer === 'y' || answer === 'yes') return;
    } finally {
      terminal.close();
    }
  }
  throw new BootwaveError({
    code: 'UNCONFIRMED',
    what: `not confirmed: ${question}`,
    unchanged: 'nothing was changed',
    next: 'answer y at a terminal, or say --yes',
  });
}
