import { generateKeyPairSync } from 'node:crypto';
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { BootwaveError } from '../../base/error.ts';
import { createFileAtomic } from '../../base/files.ts';
import { issueOperator, ROLES, type Role } from '../../keys/operator.ts';
import { activeAuthority } from '../../orchestrator/authorities/on-disk.ts';
import { append } from '../../orchestrator/fleet/bans/append.ts';
import { sealOperator } from '../../orchestrator/fleet/bans/entry.ts';
import { withFleet } from '../../orchestrator/fleet/with-fleet.ts';
import { knownOperators } from '../../orchestrator/operators/known.ts';
import { OperatorRegister, type Registered } from '../../orchestrator/operators/register.ts';
import { pathsOf, print, table } from '../context.ts';
import { withBans } from '../with-bans.ts';
import { operator, operatorSerial } from './operator.ts';

type Json = { json?: boolean };
type AddOptions = Json & { role: Role; site?: string[]; days: number; out?: string };

const DAY = 86_400_000;
/** Days. Who forgets to revoke has this long. */
const LASTS = 90;
/** Milliseconds back: the clock of another machine may be a little behind. */
const EARLY = 300_000;

export function register(program: Command): void {
  const group = program.command('operator').description('people: their certificates and what they may do');

  group
    .command('add <name>')
    .description('make a certificate with its key, in one file for `--as`')
    .addOption(new Option('--role <role>', 'what they may do').choices(ROLES).makeOptionMandatory())
    .option('--site <sites...>', 'of a site admin: their sites')
    .option('--days <n>', 'valid for so many days, at most 365', days, LASTS)
    .option('--out <file>', 'a new file (else NAME.pem here)')
    .option('--json')
    .action(async (name: string, options: AddOptions, command: Command) => {
      const { keys } = pathsOf(command);
      const by = operator();
      const { role, site: sites = [] } = options;
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const from = new Date(by.at - EARLY);
      const until = new Date(by.at + options.days * DAY);
      const ca = await activeAuthority(pathsOf(command), 'operators');
      const certificate = issueOperator(ca, { name, role, sites }, privateKey, from, until);
      const file = resolve(options.out ?? `${name}.pem`);
      const { serial, notBefore, notAfter, pem } = certificate;
      const via = operatorSerial();
      const given = { serial, name, role, sites, notBefore, notAfter, issuer: ca.id };
      const issued = via === undefined ? given : { ...given, via };
      await withFleet(pathsOf(command), async (fleet) => {
        for (const site of sites) await fleet.sites.get(site);
        const key = privateKey.export({ type: 'pkcs8', format: 'pem' });
        if (!(await createFileAtomic(file, `${key}${pem}${ca.chainPem}`))) throw there(file);
        const what = sites.length === 0 ? role : `${role} of ${sites.join(', ')}`;
        const reason = `${name}, ${what}, until ${until.toISOString().slice(0, 10)}`;
        await fleet.audit.append({ ...by, action: 'add-operator', reason, detail: { serial } });
        // Last: what is not registered is not believed.
        await new OperatorRegister(keys).add(issued, by);
      });
      print(
        options.json,
        { ...issued, file },
        () =>
          `${file} is the key of ${name}, ${role}: hand it over and keep no copy\nuse: bootwave --as ${file}`,
      );
    });

  group
    .command('list')
    .description('all certificates that were given to people')
    .option('--json')
    .action(async (options: Json, command: Command) => {
      const all = (await knownOperators(pathsOf(command))).register;
      print(options.json, all, () => listText(all, Date.now()));
    });

  group
    .command('revoke <name>')
    .description('take all certificates of a person back, at once and for good')
    .option('--serial <serial>', 'only this one')
    .option('--reason <text>', 'why', 'revoked by the operator')
    .option('--json')
    .action(async (name: string, options: Json & { serial?: string; reason: string }, command: Command) => {
      const by = operator();
      const register = new OperatorRegister(pathsOf(command).keys);
      const revoked = (await knownOperators(pathsOf(command))).register.filter(
        (one) =>
          one.name === name &&
          one.revoked === null &&
          (options.serial === undefined || one.serial === options.serial),
      );
      if (revoked.length === 0) throw unknown(name);
      const { reason } = options;
      // First: a history that cannot be written must not keep anybody in.
      for (const { serial } of revoked) await register.revoke(serial, { by: by.actor, at: by.at, reason });
      await withBans(command, async (fleet) => {
        // Beside the keys and away from them: a restored backup of the one is put right by the other.
        for (const { serial } of revoked) {
          const entry = sealOperator({ kind: 'operator', ...by, reason, name, serial });
          await append(fleet, entry, by, `${name}: ${reason}`);
        }
      });
      print(options.json, revoked, () => `${name}: ${revoked.length} revoked`);
    });
}

function listText(all: readonly Registered[], now: number): string {
  if (all.length === 0) return `nobody has a certificate; 'bootwave operator add NAME --role ROLE' makes one`;
  const state = ({ revoked, notAfter }: Registered) =>
    revoked !== null ? `revoked: ${revoked.reason}` : notAfter <= now ? 'expired' : 'valid';
  return table(
    ['NAME', 'ROLE', 'SITES', 'EXPIRES', 'STATE', 'SERIAL'],
    all.map((one) => [
      one.name,
      one.role,
      one.sites.join(' ') || '-',
      new Date(one.notAfter).toISOString().slice(0, 10),
      state(one),
      one.serial,
    ]),
  );
}

function there(file: string): BootwaveError {
  return new BootwaveError({
    code: 'OPERATOR_FILE',
    what: `${file} is there already`,
    unchanged: 'no certificate was given',
    next: 'name another with --out',
  });
}

function unknown(name: string): BootwaveError {
  return new BootwaveError({
    code: 'OPERATOR_UNKNOWN',
    what: `${name} has no certificate that could be revoked`,
    unchanged: 'nothing was changed',
    next: `'bootwave operator list' shows all of them`,
  });
}

function days(text: string): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 1 || n > 365) throw new InvalidArgumentError('1 to 365 days');
  return n;
}
