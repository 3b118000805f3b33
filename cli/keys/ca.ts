import { Argument, type Command } from 'commander';
import { AUTHORITIES, type AuthorityName } from '../../keys/layout.ts';
import type { CaView } from '../../orchestrator/operations/keys/acts.ts';
import * as keys from '../../orchestrator/operations/keys/declared.ts';
import { print, table } from '../context.ts';
import { call } from '../operate.ts';
import { commandFor, dayOf, type Json } from '../option.ts';

type Options = Json & { reason: string; force?: boolean };

const FORCE = 'even if somebody cannot follow: they prove themselves anew';

export function register(group: Command): void {
  const noun = group
    .command('ca')
    .description('change an issuing CA under a running fleet: prepare, activate, taint, revoke');

  commandFor(noun, keys.caShow).action(async ({ json }: Json, command: Command) => {
    const view = await call(command, keys.caShow, {});
    print(json, view, () => showText(view));
    if (view.some(({ missing }) => missing.length > 0)) process.exitCode = 1;
  });

  step(noun, keys.caPrepare, '', (ca, id) => `next: bootwave keys ca activate ${ca} ${id}`);
  step(
    noun,
    keys.caActivate,
    '[id]',
    (ca) => `the one before still counts; to end it: bootwave keys ca taint ${ca} ID`,
  ).option('--force', FORCE);
  step(noun, keys.caTaint, '<id>', (ca, id) => `when all have renewed: bootwave keys ca revoke ${ca} ${id}`);
  step(noun, keys.caRevoke, '<id>', () => 'its certificates count for nothing').option('--force', FORCE);
}

function step(
  noun: Command,
  operation: typeof keys.caPrepare,
  id: '' | '<id>' | '[id]',
  next: (ca: AuthorityName, id: string) => string,
): Command {
  const command = commandFor(noun, operation)
    .addArgument(new Argument('<ca>', 'nodes, servers or operators').choices(AUTHORITIES))
    .option('--reason <text>', 'why', 'rotation');
  if (id !== '') command.argument(id, 'the CA, or the beginning of its id');
  return command.action(async () => {
    const [ca, id] = command.processedArgs as [AuthorityName, string | undefined];
    const { json, reason, force = false } = command.opts<Options>();
    const shown = await call(command, operation, { ca, id, reason, force });
    print(json, shown, () => `${ca} CA ${shown.id} is ${shown.state}; ${next(ca, shown.id)}`);
  });
}

function showText(view: readonly CaView[]): string {
  const rows = view.flatMap(({ ca, authorities, missing }) => [
    ...authorities.map(({ id, state, notAfter }) => [ca, id, state, dayOf(notAfter)]),
    ...missing.map((id) => [ca, id, 'MISSING: restore the newest backup of the keys', '-']),
  ]);
  return table(['CA', 'ID', 'STATE', 'EXPIRES'], rows);
}
