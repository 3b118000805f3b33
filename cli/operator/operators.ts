import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { ROLES, type Role } from '../../keys/operator-roles.ts';
import * as operator from '../../orchestrator/operations/operator/declared.ts';
import type { Registered } from '../../orchestrator/operators/register.ts';
import { print, table } from '../context.ts';
import { call } from '../operate.ts';
import { commandFor, dayOf, type Json, whole } from '../option.ts';
import { newOperatorFile } from './new-file.ts';

type AddOptions = Json & { role: Role; site?: string[]; slice?: string[]; days: number; out?: string };

/** Days. If a revocation is forgotten, the certificate is valid for this long. */
const LASTS = 90;

export function register(group: Command): void {
  commandFor(group, operator.add, '<name>')
    .addOption(new Option('--role <role>', 'what they may do').choices(ROLES).makeOptionMandatory())
    .option('--site <sites...>', 'of a site admin: their sites')
    .option('--slice <slices...>', 'of an owner of slices: their slices')
    .option('--days <n>', 'valid for so many days, at most 365', whole(1, 365, ' days'), LASTS)
    .option('--out <file>', 'a new file (else NAME.pem here)')
    .action(async (name: string, options: AddOptions, command: Command) => {
      const { role, site: sites = [], slice: slices = [], days, json } = options;
      const file = resolve(options.out ?? `${name}.pem`);
      const { issued } = await newOperatorFile(file, (publicKey) =>
        call(command, operator.add, {
          ...{ name, role, sites, days, publicKey },
          // A server of the version before knows no slices.
          ...(slices.length === 0 ? {} : { slices }),
        }),
      );
      print(
        json,
        { ...issued, file },
        () =>
          `${file} is the key of ${name}, ${role}: hand it over and keep no copy\nuse: bootwave --as ${file}`,
      );
    });

  commandFor(group, operator.list).action(async ({ json }: Json, command: Command) => {
    const all = await call(command, operator.list, {});
    print(json, all, () => listText(all, Date.now()));
  });

  commandFor(group, operator.revoke, '<name>')
    .option('--serial <serial>', 'only this one')
    .option('--reason <text>', 'why', 'revoked by the operator')
    .action(async (name: string, options: Json & { serial?: string; reason: string }, command: Command) => {
      const { serial, reason, json } = options;
      const revoked = await call(command, operator.revoke, { name, serial, reason });
      print(json, revoked, () => `${name}: ${revoked.length} revoked`);
    });
}

function listText(all: readonly Registered[], now: number): string {
  if (all.length === 0) return `nobody has a certificate; 'bootwave operator add NAME --role ROLE' makes one`;
  const state = ({ revoked, notAfter }: Registered) =>
    revoked !== null ? `revoked: ${revoked.reason}` : notAfter <= now ? 'expired' : 'valid';
  return table(
    ['NAME', 'ROLE', 'SITES, SLICES', 'EXPIRES', 'STATE', 'SERIAL'],
    all.map((one) => [
      one.name,
      one.role,
      [...one.sites, ...(one.slices ?? [])].join(' ') || '-',
      dayOf(one.notAfter),
      state(one),
      one.serial,
    ]),
  );
}
