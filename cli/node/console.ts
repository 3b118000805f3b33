import type { Command } from 'commander';
import { onKeys } from '../../base/keyboard.ts';
import * as power from '../../orchestrator/operations/power/declared.ts';
import { harmless, print } from '../context.ts';
import { callOpen, type Opened } from '../operate.ts';
import { commandFor, type Json } from '../option.ts';
import { ConsoleText } from './console-text.ts';

/** A soft reset (DECSTR): whatever the machine's last screen has left behind. */
const AS_BEFORE = '\x1b[!p\x1b[?1049l';

export function register(group: Command): void {
  commandFor(group, power.nodeConsole, '<node>')
    .option('--take', 'end the session of whoever has it')
    .action(async (word: string, { json, take = false }: Json & { take?: boolean }, command: Command) => {
      let undo = () => {};
      const onOpened: Opened = (_, bytes) => {
        console.error(
          `console of ${harmless(word)}; Ctrl-] ends it; what it shows is recorded on the server`,
        );
        undo = onKeys(
          (keys) => bytes.write(keys),
          () => bytes.end(),
        );
        const text = new ConsoleText();
        bytes.on('data', (came: Buffer) => process.stdout.write(text.next(came)));
      };
      const sat = await callOpen(command, power.nodeConsole, { node: word, take }, onOpened).finally(() => {
        undo();
        if (process.stdout.isTTY) process.stdout.write(AS_BEFORE);
      });
      print(json, sat, () =>
        [
          '',
          `over: ${harmless(sat.why)}`,
          `recorded as ${harmless(sat.transcript)}, SHA-256 ${harmless(sat.sha256)}`,
        ].join('\n'),
      );
    });
}
