import { type Command, InvalidArgumentError } from 'commander';
import { describe, type Expectation, newToken } from '../../orchestrator/fleet/expectation.ts';
import { DEFAULT_SITE } from '../../orchestrator/fleet/site.ts';
import * as expectation from '../../orchestrator/operations/expectation/declared.ts';
import { print, table } from '../context.ts';
import { call } from '../operate.ts';
import { commandFor, type Json } from '../option.ts';

type Options = Json & {
  mac?: string;
  serial?: string;
  ek?: string;
  token?: boolean;
  name?: string;
  site: string;
  days?: number;
  list?: boolean;
  withdraw?: string;
};

/** An unused token is a key that anybody may find. */
const TOKEN_DAYS = 7;
const DAY = 86_400_000;

export function register(group: Command): void {
  commandFor(group, expectation.expect)
    .option('--mac <mac>', 'network address of one of its cards')
    .option('--serial <serial>', 'SMBIOS serial number')
    .option('--ek <sha256>', "SHA-256 of its TPM's endorsement key, 64 hex digits")
    .option('--token', 'make a single-use token for it, printed once')
    .option('--name <name>', 'call it this')
    .option('--site <site>', 'where it will come', DEFAULT_SITE)
    .option('--days <n>', `expect it for so many days (with --token ${TOKEN_DAYS}, else for ever)`, days)
    .option('--list', 'show who is expected')
    .option('--withdraw <id>', 'expect it no longer')
    .action(async (options: Options, command: Command) => {
      const { json, withdraw: id } = options;
      if (options.list === true) {
        const open = await call(command, expectation.list, {});
        return print(json, open, () => listText(open));
      }
      if (id !== undefined) {
        const gone = await call(command, expectation.withdraw, { id });
        return print(json, gone, () => `${gone.id} is expected no longer`);
      }
      return expect(options, command);
    });
}

async function expect({ json, days, token, ...options }: Options, command: Command): Promise<void> {
  // Made here: only its digest goes to the server; the token itself goes to the machine.
  const made = token === true ? newToken() : null;
  const { site, name, mac, serial, ek } = options;
  const lasts = days ?? (made === null ? undefined : TOKEN_DAYS);
  const { expectation: open, answered } = await call(command, expectation.expect, {
    site,
    ...{ name, mac, serial, ek, token: made?.digest },
    lasts: lasts === undefined ? undefined : lasts * DAY,
  });
  print(json, { ...open, ...(made === null ? {} : { token: made.token }) }, () =>
    [
      `expected at site ${open.site}: ${describe(open.criteria)}${open.name === null ? '' : `, as ${open.name}`} (${open.id})`,
      ...(made === null ? [] : [`token, shown only now: ${made.token}`]),
      ...(answered
        ? []
        : [
            `site ${open.site} answers only MACs that are expected: give --mac too, or the machine gets no image`,
          ]),
    ].join('\n'),
  );
}

function listText(open: readonly Expectation[]): string {
  if (open.length === 0) return 'nobody is expected';
  return table(
    ['ID', 'SITE', 'NAME', 'BY', 'UNTIL', 'MUST SHOW'],
    open.map((e) => [
      e.id,
      e.site,
      e.name ?? '-',
      e.by,
      e.expiresAt === null ? '-' : new Date(e.expiresAt).toISOString().slice(0, 16),
      describe(e.criteria),
    ]),
  );
}

function days(text: string): number {
  const n = Number(text);
  if (!Number.isFinite(n) || n <= 0 || n > 3650)
    throw new InvalidArgumentError('a number of days up to 3650');
  return n;
}
