import type { Command } from 'commander';
import type { Check } from '../../orchestrator/doctor/check.ts';
import { doctor } from '../../orchestrator/operations/server/declared.ts';
import { jsonText, onTerminal } from '../context.ts';
import { here } from '../operate.ts';
import { type Json, whole } from '../option.ts';
import { DEFAULT_PORTS } from './up.ts';

type Options = Json & {
  interface?: string;
  address?: string;
  proxy?: boolean;
  httpPort: number;
  httpsPort: number;
};

export function register(command: Command): void {
  const port = whole(1, 65535);
  command
    .option('--interface <name>', 'the network interface of the machines that boot')
    .option('--address <ip>', 'which of its addresses, when it has several')
    .option('--proxy', "'bootwave up' is meant to run with --proxy here")
    .option('--http-port <port>', "as for 'bootwave up'", port, DEFAULT_PORTS.http)
    .option('--https-port <port>', "as for 'bootwave up'", port, DEFAULT_PORTS.https)
    .option('--json')
    .action(async ({ json, proxy = false, interface: name, address, httpPort, httpsPort }: Options) => {
      const wanted = { interface: name, address, proxy, httpPort, httpsPort };
      const show = (check: unknown) => {
        if (json !== true) console.log(onTerminal(line(check as Check)));
      };
      const checks = await here(command, doctor, wanted, show);
      const failed = checks.filter((check) => check.status === 'fail').length;
      const warned = checks.filter((check) => check.status === 'warn').length;
      if (json === true) console.log(jsonText({ ok: failed === 0, checks }));
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
