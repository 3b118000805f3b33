import type { Command } from 'commander';
import { signer } from '../../orchestrator/operations/server/declared.ts';
import { SIGNER_LIMITS } from '../../orchestrator/signer/judge.ts';
import { here } from '../operate.ts';
import { type Json, whole } from '../option.ts';

type Options = Json & { wipesPerHour: number };

export function register(command: Command): void {
  command
    .option(
      '--wipes-per-hour <n>',
      'disks of the fleet that may be given up in an hour',
      whole(0, 999_999, ' disks'),
      SIGNER_LIMITS.wipesPerHour,
    )
    .option('--json')
    .action(async ({ json, wipesPerHour }: Options) => {
      const ready = () => console.log(json === true ? '{"ready":true}' : 'orders are signed; Ctrl-C ends it');
      await here(command, signer, { wipesPerHour }, ready);
    });
}
