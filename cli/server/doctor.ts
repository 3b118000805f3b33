import { type Command, InvalidArgumentError } from 'commander';
import type { Check } from '../../orchestrator/doctor/check.ts';
import { examine } from '../../orchestrator/doctor/doctor.ts';
import { pathsOf } from '../context.ts';
import { DEFAULT_PORTS } from './up.ts';

type Options = {
  interface?: string;
  address?: string;
  proxy?: boolean;
  httpPort: number;
  httpsPort: number;
  json?: boolean;
};

export function register(program: Command): void {
  program
    .command('doctor')
    .description('check packages, keys, image, Redis, interface, ports and the wire; changes nothing')
    .option('--interface <name>', 'the network interface of the machines that boot')
    .option('--address <ip>', 'which of its addresses, when it has several')
    .option('--proxy', "'bootwave up' is meant to run with --proxy here")
    .option('--http-port <port>', "as for 'bootwave up'", port, DEFAULT_PORTS.http)
    .option('--https-port <port>', "as for 'bootwave up'", port, DEFAULT_PORTS.https)
    .option('--json')
    .action(async ({ json, proxy, ...options }: Options, command: Command) => {
      const stop = new AbortController();
      const onSignal = () => stop.abort();
      process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
      const checks = await examine({
        ...options,
        paths: pathsOf(command),
        proxy: proxy === true,
        signal: stop.signal,
        ...(json === true ? {} : { onCheck: (check: Check) => console.log(line(check)) }),
      });
      process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
      const failed = checks.filter((check) => check.status === 'fail').length;
      const warned = checks.filter((check) => check.status === 'warn').length;
      if (json === true) console.log(JSON.stringify({ ok: failed === 0, checks }));
      else console.log(`\n${summary(failed, warned)}`);
      if (failed > 0) process.exitCode = 1;
    });
}

function line({ name, status, detail, next }: Check): string {
  const first = `${status.padEnd(4)}  ${name}: ${detail}`;
  return next === undefined ? first : `${first}\n      -> ${next}`;
}

function summary(failed: number, warned: number): string {
  const warnings = warned === 0 ? '' : `, ${warned} warned`;
  return failed === 0 ? `nothing failed${warnings}` : `${failed} failed${warnings}`;
}

function port(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= 65535) return value;
  throw new InvalidArgumentError('a whole number from 1 to 65535 is needed');
}
