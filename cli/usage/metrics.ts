import type { Command } from 'commander';
import { metrics } from '../../orchestrator/operations/usage/declared.ts';
import { print } from '../context.ts';
import { call } from '../operate.ts';
import type { Json } from '../option.ts';

export function register(command: Command): void {
  command
    .option('--site <site>', 'of one site only')
    .option('--json')
    .action(async ({ json, site }: Json & { site?: string }, self: Command) => {
      const found = await call(self, metrics, { site });
      print(json, found, () => found.text.trimEnd());
    });
}
