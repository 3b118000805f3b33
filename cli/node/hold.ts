import type { Command } from 'commander';
import { recover } from '../../orchestrator/operations/incident/declared.ts';
import * as node from '../../orchestrator/operations/node/declared.ts';
import type { Fenced } from '../../orchestrator/operations/node/fence.ts';
import { print } from '../context.ts';
import { lineText } from '../incident/incident.ts';
import { call } from '../operate.ts';
import { commandFor, type Json, until } from '../option.ts';

type Word = Json & { reason: string; until?: number };
type Operation = Parameters<typeof commandFor>[1];

/** What a person says of a node: `node hold`, `node pin`, and their ends; `node recover`, `node fence`. */
export function register(group: Command): void {
  said(group, node.hold).action(async (word: string, { reason, until, json }: Word, command: Command) => {
    const held = await call(command, node.hold, { node: word, reason, until });
    const { record, busy } = held;
    print(json, held, () =>
      [`${record.name} is held: rollouts leave it alone`, ...busyText(busy)].join('\n'),
    );
  });

  commandFor(group, recover, '<node>')
    .requiredOption('--reason <text>', 'what is wrong with it')
    .action(async (word: string, { reason, json }: Json & { reason: string }, command: Command) => {
      const begun = await call(command, recover, { node: word, reason });
      print(json, begun, () => lineText(begun));
    });

  commandFor(group, node.unhold, '<node>').action(async (word: string, { json }: Json, command: Command) => {
    const record = await call(command, node.unhold, { node: word });
    print(json, record, () => `rollouts may touch ${record.name} again; ${TAKE_BACK}`);
  });

  commandFor(group, node.fence, '<node>')
    .requiredOption('--reason <text>', 'why; it is shown on its console, and kept for ever')
    .action(async (word: string, { reason, json }: Json & { reason: string }, command: Command) => {
      const done = await call(command, node.fence, { node: word, reason });
      print(json, done, () => fencedText(done));
    });

  said(group, node.pin)
    .requiredOption('--image <version>', 'the only image that it may be moved to')
    .action(
      async (word: string, { image, reason, until, json }: Word & { image: string }, command: Command) => {
        const pinned = await call(command, node.pin, { node: word, image, reason, until });
        const { record, busy } = pinned;
        const runs = record.observed.image;
        const other = runs === image ? '' : `; it runs ${runs}, and a rollout of ${image} brings it there`;
        print(json, pinned, () =>
          [`${record.name} is pinned to ${image}${other}`, ...busyText(busy)].join('\n'),
        );
      },
    );

  commandFor(group, node.unpin, '<node>').action(async (word: string, { json }: Json, command: Command) => {
    const record = await call(command, node.unpin, { node: word });
    print(json, record, () => `rollouts may move ${record.name} to any image again; ${TAKE_BACK}`);
  });
}

function fencedText({ incident, fresh, recovery }: Fenced): string {
  const { name, number, step, site } = incident;
  const next =
    recovery === 'person'
      ? `nobody has said that machines of site ${site} may be wiped: bootwave site set ${site} --recovery wipe`
      : `its BMC starts it from the network; where it has none, a person does: bootwave incident show ${name}`;
  return `${name} is ${fresh ? 'fenced' : `held already (${step})`}, incident ${number}; ${next}`;
}

const TAKE_BACK = "those that left it out take it back by 'rollout skip --undo'";

const busyText = (busy: readonly string[]) =>
  busy.map((id) => `rollout ${id} had begun with it and brings it to its end`);

const said = (group: Command, operation: Operation) =>
  commandFor(group, operation, '<node>')
    .requiredOption('--reason <text>', 'why; it is shown wherever a plan leaves the node out')
    .option(
      '--until <when>',
      'a date in UTC (2026-01-31T12:00) or a time from now (12h, 7d); else until it is let go',
      until,
    );
