import type { Command } from 'commander';
import { breakGlass } from '../../orchestrator/operations/request/declared.ts';
import { REQUEST_TIMES } from '../../orchestrator/operators/request.ts';
import { print } from '../context.ts';
import { callTwo } from '../operate.ts';
import { type Json, whole } from '../option.ts';
import { waitsText } from './request.ts';

const MINUTE = 60_000;
const [FIRST, MOST] = [REQUEST_TIMES.grant / MINUTE, REQUEST_TIMES.grantMost / MINUTE];

export function register(command: Command): void {
  command
    .requiredOption('--reason <text>', 'why; it is kept for ever')
    .option('--minutes <n>', `for so long, at most ${MOST}`, whole(1, MOST, ' minutes'), FIRST)
    .option('--json')
    .action(async ({ json, minutes, reason }: Json & { reason: string; minutes: number }) => {
      const asked = await callTwo(command, breakGlass, { minutes, reason });
      if ('result' in asked) return;
      const { id, expires } = asked.waits;
      print(json, { id, expires }, () => waitsText(id));
    });
}
