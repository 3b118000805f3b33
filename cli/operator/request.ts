import type { Command } from 'commander';
import type { Ban } from '../../orchestrator/fleet/bans/entry.ts';
import type { Fleet } from '../../orchestrator/fleet/fleet.ts';
import { inFull } from '../../orchestrator/operators/in-full.ts';
import { knownOperators } from '../../orchestrator/operators/known.ts';
import { liftOf } from '../../orchestrator/operators/lifts.ts';
import { type Request, Requests } from '../../orchestrator/operators/requests.ts';
import { confirm } from '../confirm.ts';
import { harmless, pathsOf, print, table } from '../context.ts';
import { withBans } from '../with-bans.ts';
import { operator, signer } from './operator.ts';

type Json = { json?: boolean };

export function register(program: Command): void {
  const group = program
    .command('request')
    .description('what one person asked for and a second one has to approve');
  const open = async (fleet: Fleet, command: Command) =>
    new Requests(fleet.redis, await knownOperators(pathsOf(command)));

  group
    .command('list')
    .description('those that wait or are in force, newest first')
    .option('--all', 'what became of the others, too')
    .option('--json')
    .action(async (options: Json & { all?: boolean }, command: Command) => {
      const all = await withBans(command, async (fleet) => (await open(fleet, command)).list(Date.now()));
      const shown = options.all === true ? all : all.filter(isLive);
      print(options.json, shown.map(view), () => listText(shown));
    });

  group
    .command('show <request>')
    .description('all that a signature under it stands for')
    .option('--json')
    .action(async (word: string, { json }: Json, command: Command) => {
      const found = await withBans(command, async (fleet) =>
        (await open(fleet, command)).find(word, Date.now()),
      );
      print(json, { ...view(found), text: found.record.text }, () => fullText(found));
    });

  group
    .command('approve <request>')
    .description(
      'agree, as a second person, with what was asked (its whole id), after it was shown; done at once',
    )
    .option('--yes', 'it was read before')
    .option('--json')
    .action(async (word: string, options: Json & { yes?: boolean }, command: Command) => {
      const credential = signer();
      const asked = await withBans(command, async (fleet) =>
        (await open(fleet, command)).find(word, Date.now()),
      );
      console.error(fullText(asked));
      await confirm('sign this?', options.yes);
      const done = await withBans(command, async (fleet, set) => {
        // The time of the signature is the time of all of it.
        const by = operator();
        const banOf = (id: string) => set.bans.find((ban) => ban.id === id);
        const requests = await open(fleet, command);
        const request = await requests.approve(word, credential, by, (one) =>
          one.wish.kind === 'lift' ? liftOf(one, by, banOf(one.wish.about)) : {},
        );
        return { request, ban: banOf(request.wish.about) };
      });
      print(options.json, view(done.request), () => approvedText(done.request, done.ban));
    });

  group
    .command('deny <request>')
    .description('refuse what was asked, or end a break-glass that is in force')
    .requiredOption('--reason <text>', 'why')
    .option('--json')
    .action(async (word: string, options: Json & { reason: string }, command: Command) => {
      const request = await withBans(command, async (fleet, _, by) =>
        (await open(fleet, command)).deny(word, options.reason, by),
      );
      print(options.json, view(request), () => `request ${request.id} is denied`);
    });
}

export function waitsText(id: string): string {
  return `request ${id} waits for a second person, for a day: bootwave --as THEIRS.pem request approve ${id}`;
}

function fullText(request: Request): string {
  return inFull(request)
    .map(([label, text]) => `${label.padEnd(20)}  ${harmless(text)}`)
    .join('\n');
}

const isLive = ({ standing }: Request) => standing === 'pending' || standing === 'in force';

function view({ id, wish, standing, record }: Request) {
  const { kind, about, lasts, reason, actor, at, expires } = wish;
  const { closed, approve } = record;
  const until = standing === 'in force' && approve !== null ? approve.at + lasts : null;
  return { id, kind, about, lasts, reason, actor, at, expires, standing, until, closed };
}

const time = (at: number) => new Date(at).toISOString().slice(0, 16).replace('T', ' ');

function listText(requests: readonly Request[]): string {
  if (requests.length === 0) return 'nothing waits for a second person';
  return table(
    ['REQUEST', 'WHAT', 'BY', 'STATE', 'UNTIL', 'REASON'],
    requests.map((request) => {
      const { id, kind, about, actor, standing, until, expires, closed, reason } = view(request);
      const what = kind === 'lift' ? `lift ban ${about}` : kind;
      const end = standing === 'pending' ? expires : until;
      const state = closed === null ? standing : `${standing} by ${closed.actor}`;
      return [id, what, actor, state, end === null ? '-' : time(end), reason];
    }),
  );
}

function approvedText(request: Request, ban: Ban | undefined): string {
  const { wish } = request;
  if (wish.kind === 'lift') return ban === undefined ? `ban ${wish.about} is lifted` : liftedText(ban);
  const until = view(request).until;
  const minutes = until === null ? '' : `, until ${time(until)} UTC`;
  return `${wish.actor} may do what admins may${minutes}; to end it: bootwave request deny ${request.id}`;
}

function liftedText(ban: Ban): string {
  const name = ban.name ?? ban.nodes[0];
  const ek = /^tpm-(\S+)$/.exec(ban.nodes[0] ?? '')?.[1];
  if (ban.nodes.length === 0 || name === undefined)
    return `ban ${ban.id} is lifted; the certificate stays revoked`;
  const expect = ek === undefined ? 'bootwave node expect' : `bootwave node expect --ek ${ek}`;
  return `ban ${ban.id} is lifted; ${name} stays out until you take it back: bootwave node retire ${name}, then ${expect}`;
}
