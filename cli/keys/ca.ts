import { Argument, type Command } from 'commander';
import { AUTHORITIES, type AuthorityName } from '../../keys/layout.ts';
import {
  activate,
  prepare,
  type RotateOptions,
  revoke,
  type Shown,
  showAuthorities,
  taint,
} from '../../orchestrator/rotation/rotate.ts';
import { pathsOf, print, table } from '../context.ts';
import { withBans } from '../with-bans.ts';

type Options = { reason: string; force?: boolean; json?: boolean };

const name = () => new Argument('<ca>', 'nodes, servers or operators').choices(AUTHORITIES);
const FORCE = 'even if somebody cannot follow: they prove themselves anew';

export function register(keys: Command): void {
  const group = keys
    .command('ca')
    .description('change an issuing CA under a running fleet: prepare, activate, taint, revoke');

  group
    .command('show')
    .description('every issuing CA that this fleet has had, and what its word is worth')
    .option('--json')
    .action(async (options: { json?: boolean }, command: Command) => {
      const all = await withBans(command, async (_, set) =>
        Promise.all(
          AUTHORITIES.map(async (ca) => ({ ca, ...(await showAuthorities(pathsOf(command), set, ca)) })),
        ),
      );
      const view = all.map(({ ca, all: shown, missing }) => ({ ca, authorities: shown, missing }));
      print(options.json, view, () => showText(view));
      if (view.some(({ missing }) => missing.length > 0)) process.exitCode = 1;
    });

  const step = (
    what: string,
    text: string,
    act: (ca: AuthorityName, word: string, options: RotateOptions) => Promise<Shown>,
    how: { id: '' | '<id>' | '[id]'; force: boolean; next: (ca: string, shown: Shown) => string },
  ) => {
    const command = group.command(what).description(text).addArgument(name());
    if (how.id !== '') command.argument(how.id, 'the CA, or the beginning of its id');
    if (how.force) command.option('--force', FORCE);
    command
      .option('--reason <text>', 'why', 'rotation')
      .option('--json')
      .action(async (...args: unknown[]) => {
        const [ca, ...rest] = args as [AuthorityName, ...unknown[]];
        const [options, self] = rest.slice(-2) as [Options, Command];
        const word = rest.length > 2 ? ((rest[0] as string | undefined) ?? '') : '';
        const shown = await withBans(self, (fleet, set, by) => {
          const { reason, force = false } = options;
          return act(ca, word, { fleet, set, paths: pathsOf(self), by, reason, force });
        });
        print(
          options.json,
          { ca, ...shown },
          () => `${ca} CA ${shown.id} is ${shown.state}; ${how.next(ca, shown)}`,
        );
      });
  };

  step(
    'prepare',
    'make the next CA; everybody trusts it from now on, beside the others',
    (ca, _, options) => prepare(ca, options),
    {
      id: '',
      force: false,
      next: (ca, { id }) => `next: bootwave keys ca activate ${ca} ${id}`,
    },
  );
  step(
    'activate',
    'sign with the prepared CA from now on; refused while a running server has not loaded it',
    (ca, word, options) => activate(ca, word === '' ? undefined : word, options),
    {
      id: '[id]',
      force: true,
      next: (ca) => `the one before still counts; to end it: bootwave keys ca taint ${ca}`,
    },
  );
  step('taint', 'have whoever holds a certificate of this CA renew now, spread over two minutes', taint, {
    id: '<id>',
    force: false,
    next: (ca, { id }) => `when all have renewed: bootwave keys ca revoke ${ca} ${id}`,
  });
  step(
    'revoke',
    'accept no certificate of this CA any more, for good; refused while somebody holds one',
    revoke,
    {
      id: '<id>',
      force: true,
      next: () => 'its certificates count for nothing',
    },
  );
}

type View = { ca: string; authorities: readonly Shown[]; missing: readonly string[] }[];

function showText(view: View): string {
  const rows = view.flatMap(({ ca, authorities, missing }) => [
    ...authorities.map(({ id, state, notAfter }) => [
      ca,
      id,
      state,
      new Date(notAfter).toISOString().slice(0, 10),
    ]),
    ...missing.map((id) => [ca, id, 'MISSING: restore the newest backup of the keys', '-']),
  ]);
  return table(['CA', 'ID', 'STATE', 'EXPIRES'], rows);
}
