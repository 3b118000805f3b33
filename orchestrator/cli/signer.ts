import { type Command, InvalidArgumentError } from 'commander';
import { createLogger } from '../../base/log.ts';
import { SIGNER_LIMITS } from '../signer/judge.ts';
import { serveSigner } from '../signer/serve.ts';
import { pathsOf } from './context.ts';

type Options = { wipesPerHour: number; json?: boolean };

function disks(text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('a number of disks');
}

/** The one process that reads the order key. `bootwave up` starts it by itself. */
export function register(program: Command): void {
  program
    .command('signer')
    .description('signs orders, each checked against this disk; up starts it by itself where none runs')
    .option(
      '--wipes-per-hour <n>',
      'disks of the fleet that may be given up in an hour',
      disks,
      SIGNER_LIMITS.wipesPerHour,
    )
    .option('--json')
    .action(async (options: Options, command: Command) => {
      const stop = new AbortController();
      for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort());
      const { wipesPerHour } = options;
      const paths = pathsOf(command);
      const log = createLogger('bootwave-signer');
      const { done } = await serveSigner({
        paths,
        limits: { ...SIGNER_LIMITS, wipesPerHour },
        log,
        signal: stop.signal,
      });
      console.log(options.json === true ? '{"ready":true}' : `orders are signed; Ctrl-C ends it`);
      await done;
    });
}
