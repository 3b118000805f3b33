import type { Command } from 'commander';
import type { RequestView } from '../../orchestrator/operations/request/acts.ts';
import * as request from '../../orchestrator/operations/request/declared.ts';
import { confirm } from '../confirm.ts';
import { harmless, print, table } from '../context.ts';
import { call, type callTwo } from '../operate.ts';
import { commandFor, type Json, minuteOf } from '../option.ts';

export function register(group: Command): void {
  commandFor(group, request.list)
    .option('--all', 'what became of the others, too')
    .action(async ({ json, all = false }: Json & { all?: boolean }, command: Command) => {
      const shown = await call(command, request.list, { all });
      print(json, shown, () => listText(shown));
    });

  commandFor(group, request.show, '<request>').action(
    async (word: string, { json }: Json, command: Command) => {
      const shown = await call(command, request.show, { request: word });
      print(json, shown, () => fullText(shown.lines));
    },
  );

  commandFor(group, request.approve, '<request>')
    .option('--yes', 'it was read before')
    .action(async (word: string, { json, yes }: Json & { yes?: boolean }, command: Command) => {
      // Read in full before it is signed, and signed only as it was read.
      const { id, text, lines } = await call(command, request.show, { request: word });
      console.error(fullText(lines));
      await confirm('sign this?', yes);
      const { request: view, done } = await call(command, request.approve, { request: word }, text);
      print(json, view, () => approvedText({ ...view, id }, done));
    });

  commandFor(group, request.deny, '<request>')
    .requiredOption('--reason <text>', 'why')
    .action(async (word: string, { json, reason }: Json & { reason: string }, command: Command) => {
      const view = await call(command, request.deny, { request: word, reason });
      print(json, view, () => `request ${view.id} is denied`);
    });
}

/** What became of an operation that may need a second person: its result, or that it waits. */
export function printAsked<R>(
  json: boolean | undefined,
  asked: Awaited<ReturnType<typeof callTwo<unknown, R>>>,
  text: (result: R) => string,
): void {
  if ('result' in asked) print(json, asked.result, () => text(asked.result));
  else print(json, { request: asked.waits.id }, () => waitsText(asked.waits.id));
}

export function waitsText(id: string): string {
  return `request ${id} waits for a second person, for a day: bootwave --as THEIRS.pem request approve ${id}`;
}

function fullText(lines: readonly [string, string][]): string {
  return lines.map(([label, text]) => `${label.padEnd(20)}  ${harmless(text)}`).join('\n');
}

function listText(requests: readonly RequestView[]): string {
  if (requests.length === 0) return 'nothing waits for a second person';
  return table(
    ['REQUEST', 'WHAT', 'BY', 'STATE', 'UNTIL', 'REASON'],
    requests.map((view) => {
      const { id, actor, standing, until, expires, closed, reason } = view;
      const end = standing === 'pending' ? expires : until;
      const state = closed === null ? standing : `${standing} by ${closed.actor}`;
      return [id, whatOf(view), actor, state, end === null ? '-' : minuteOf(end), reason];
    }),
  );
}

function whatOf({ operation, kind, about, input }: RequestView): string {
  if (kind === 'lift') return `lift ban ${about}`;
  return kind === 'break-glass' ? kind : `${operation} ${JSON.stringify(input).slice(0, 100)}`;
}

type Lifted = { ban?: { id: string; name: string | null; nodes: string[] } };

function approvedText(view: RequestView, done: unknown): string {
  const { id, kind, actor, about, until, operation } = view;
  if (kind === 'lift') {
    const { ban } = (done ?? {}) as Lifted;
    return ban === undefined ? `ban ${about} is lifted` : liftedText(ban);
  }
  if (kind !== 'break-glass') return harmless(`${operation} is done, as ${actor} asked`);
  const minutes = until === null ? '' : `, until ${minuteOf(until)} UTC`;
  return `${actor} may do what break-glass opens${minutes}; to end it: bootwave request deny ${id} --reason WHY`;
}

function liftedText(ban: NonNullable<Lifted['ban']>): string {
  const name = ban.name ?? ban.nodes[0];
  const ek = /^tpm-(\S+)$/.exec(ban.nodes[0] ?? '')?.[1];
  if (ban.nodes.length === 0 || name === undefined)
    return `ban ${ban.id} is lifted; the certificate stays revoked`;
  const expect = ek === undefined ? 'bootwave node expect' : `bootwave node expect --ek ${ek}`;
  return `ban ${ban.id} is lifted; ${name} stays out until you take it back: bootwave node retire ${name}, then ${expect}`;
}
