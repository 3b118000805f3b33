import { type Command, InvalidArgumentError } from 'commander';
import { BootwaveError } from '../../base/error.ts';
import { describe, type Expectation } from '../../orchestrator/fleet/expectation.ts';
import { newToken } from '../../orchestrator/fleet/expectations.ts';
import { DEFAULT_SITE } from '../../orchestrator/fleet/site.ts';
import { withFleet } from '../../orchestrator/fleet/with-fleet.ts';
import { pathsOf, print, table } from '../context.ts';
import { operator } from '../operator/operator.ts';

type Options = {
  mac?: string;
  serial?: string;
  ek?: string;
  token?: boolean;
  name?: string;
  site: string;
  days?: number;
  list?: boolean;
  withdraw?: string;
  json?: boolean;
};

/** A token that nobody used is a key under the mat. */
const TOKEN_DAYS = 7;
const DAY = 86_400_000;

export function register(node: Command): void {
  node
    .command('expect')
    .description('let a machine in by itself when it comes, once; all that is given must match')
    .option('--mac <mac>', 'network address of one of its cards')
    .option('--serial <serial>', 'SMBIOS serial number')
    .option('--ek <sha256>', "SHA-256 of its TPM's endorsement key, 64 hex digits")
    .option('--token', 'make a single-use token for it, printed once')
    .option('--name <name>', 'call it this')
    .option('--site <site>', 'where it will come', DEFAULT_SITE)
    .option('--days <n>', `expect it for so many days (with --token ${TOKEN_DAYS}, else for ever)`, days)
    .option('--list', 'show who is expected')
    .option('--withdraw <id>', 'expect it no longer')
    .option('--json')
    .action(async (options: Options, command: Command) => {
      const paths = pathsOf(command);
      if (options.list === true) {
        const open = await withFleet(paths, (fleet) => fleet.expectations.list());
        return print(options.json, open.map(hidden), () => listText(open));
      }
      if (options.withdraw !== undefined) {
        const id = options.withdraw;
        const gone = await withFleet(paths, (fleet) => fleet.expectations.withdraw(id, operator()));
        return print(options.json, hidden(gone), () => `${gone.id} is expected no longer`);
      }
      return expect(options, command);
    });
}

async function expect(options: Options, command: Command): Promise<void> {
  const made = options.token === true ? newToken() : null;
  const criteria = {
    ...(options.mac === undefined ? {} : { mac: options.mac }),
    ...(options.serial === undefined ? {} : { serial: options.serial }),
    ...(options.ek === undefined ? {} : { ek: options.ek }),
    ...(made === null ? {} : { token: made.digest }),
  };
  if (Object.keys(criteria).length === 0) {
    throw new BootwaveError({
      code: 'EXPECT_INVALID',
      what: 'nothing says which machine is expected',
      unchanged: 'nothing was changed',
      next: 'give --mac, --serial, --ek or --token',
    });
  }
  const lasts = options.days ?? (made === null ? undefined : TOKEN_DAYS);
  const by = operator();
  const { expectation, answered } = await withFleet(pathsOf(command), async (fleet) => {
    const { policy } = await fleet.sites.get(options.site);
    const expectation = await fleet.expect(
      {
        site: options.site,
        name: options.name,
        criteria,
        expiresAt: lasts === undefined ? null : by.at + lasts * DAY,
      },
      by,
    );
    return { expectation, answered: policy.acceptUnknown || options.mac !== undefined };
  });
  const token = made === null ? {} : { token: made.token };
  print(options.json, { ...hidden(expectation), ...token }, () =>
    [
      `expected at site ${expectation.site}: ${describe(expectation.criteria)}${expectation.name === null ? '' : `, as ${expectation.name}`} (${expectation.id})`,
      ...(made === null ? [] : [`token, shown only now: ${made.token}`]),
      ...(answered
        ? []
        : [
            `site ${expectation.site} answers only MACs that are expected: give --mac too, or the machine gets no image`,
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

/** A token's digest is of no use to anybody who reads the output. */
function hidden(expectation: Expectation): Expectation {
  const { token, ...criteria } = expectation.criteria;
  return { ...expectation, criteria: token === undefined ? criteria : { ...criteria, token: '(kept out)' } };
}

function days(text: string): number {
  const n = Number(text);
  if (!Number.isFinite(n) || n <= 0 || n > 3650)
    throw new InvalidArgumentError('a number of days up to 3650');
  return n;
}
