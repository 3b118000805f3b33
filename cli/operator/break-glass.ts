import { type Command, InvalidArgumentError } from 'commander';
import { BootwaveError } from '../../base/error.ts';
import { withFleet } from '../../orchestrator/fleet/with-fleet.ts';
import { knownOperators } from '../../orchestrator/operators/known.ts';
import { REQUEST_TIMES } from '../../orchestrator/operators/request.ts';
import { Requests } from '../../orchestrator/operators/requests.ts';
import { pathsOf, print } from '../context.ts';
import { operator, operatorRole, operatorSerial, signer } from './operator.ts';
import { waitsText } from './request.ts';

const MINUTE = 60_000;
const [FIRST, MOST] = [REQUEST_TIMES.grant / MINUTE, REQUEST_TIMES.grantMost / MINUTE];

export function register(program: Command): void {
  program
    .command('break-glass')
    .description('ask to be admin for a while, when none is to be had; a second person approves it')
    .requiredOption('--reason <text>', 'why; it is kept for ever')
    .option('--minutes <n>', `for so long, at most ${MOST}`, minutes, FIRST)
    .option('--json')
    .action(async (options: { reason: string; minutes: number; json?: boolean }, command: Command) => {
      const credential = signer();
      if (operatorRole() === 'admin') throw isAdmin();
      const known = await knownOperators(pathsOf(command));
      const { actor, at } = operator();
      const about = operatorSerial() ?? '';
      const wish = { kind: 'break-glass', about, lasts: options.minutes * MINUTE, actor, at } as const;
      const { request } = await withFleet(pathsOf(command), (fleet) =>
        new Requests(fleet.redis, known).ask({ ...wish, reason: options.reason }, credential),
      );
      print(options.json, { id: request.id, expires: request.wish.expires }, () => waitsText(request.id));
    });
}

function minutes(text: string): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 1 || n > MOST) throw new InvalidArgumentError(`1 to ${MOST} minutes`);
  return n;
}

function isAdmin(): BootwaveError {
  return new BootwaveError({
    code: 'BREAK_GLASS_ADMIN',
    what: 'your certificate is that of an admin',
    unchanged: 'nothing was asked',
    next: 'do what you want to do',
  });
}
