/** A person looks at a node in rescue: one thing after the other, at a prompt of ours. The node has no terminal for anybody. */
import { writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { messageOf, refusal } from '../../base/error.ts';
import type { Looked } from '../../orchestrator/operations/incident/access.ts';
import * as incident from '../../orchestrator/operations/incident/declared.ts';
import { LOOKS } from '../../protocol/agent/rescue.ts';
import { harmless, onTerminal, print } from '../context.ts';
import { call } from '../operate.ts';
import { commandFor, type Json } from '../option.ts';

type Options = Json & { reason: string; save?: string };

const WORDS = [...LOOKS, 'hash DISK'].join(', ');

export function register(group: Command): void {
  commandFor(group, incident.access, '<node> [look...]')
    .requiredOption('--reason <text>', 'why; it is in the history')
    .option('--save <file>', 'write what it shows there, as it is')
    .action(async (node: string, words: string[], { reason, json, save }: Options, command: Command) => {
      const ask = (look: readonly string[]) =>
        call(command, incident.access, { node, reason, ...lookOf(look) });
      const looked = await ask(words);
      if (save !== undefined) await writeFile(save, bytesOf(looked), { mode: 0o600, flag: 'wx' });
      if (looked.seen !== null || json === true || !process.stdin.isTTY)
        return print(json, looked, () => shownText(looked, words, save));
      console.error(
        harmless(
          `${looked.node} can be looked at until ${new Date(looked.until).toISOString()}: ${WORDS}; an empty line ends it`,
        ),
      );
      await converse(ask);
    });

  commandFor(group, incident.leave, '<node>').action(
    async (node: string, { json }: Json, command: Command) => {
      const left = await call(command, incident.leave, { node });
      print(json, left, () => (left.changed ? `nobody looks at ${left.node} any more` : 'nobody looked'));
    },
  );
}

async function converse(ask: (words: readonly string[]) => Promise<Looked>): Promise<void> {
  const lines = createInterface({ input: process.stdin, output: process.stderr, prompt: 'rescue> ' });
  lines.prompt();
  for await (const line of lines) {
    const words = line.trim().split(/\s+/).filter(Boolean);
    if (words.length === 0) break;
    try {
      console.log(onTerminal(shownText(await ask(words), words)));
    } catch (error) {
      console.error(harmless(messageOf(error)));
    }
    lines.prompt();
  }
  lines.close();
}

/** @throws BootwaveError `LOOK_UNKNOWN` */
export function lookOf([first, ...rest]: readonly string[]) {
  if (first === undefined) return { look: null };
  const look = [...LOOKS, 'hash' as const].find((name) => name === first);
  if (look === 'hash' && rest.length === 0)
    throw refusal('LOOK_UNKNOWN', "'hash' needs the name of a disk", "'disks' lists them: hash DISK");
  if (look === undefined || rest.length !== (look === 'hash' ? 1 : 0))
    throw refusal(
      'LOOK_UNKNOWN',
      `'${[first, ...rest].join(' ')}' is nothing that can be looked at`,
      `name one of ${WORDS}`,
    );
  return look === 'hash' ? { look, disk: rest[0]! } : { look };
}

const bytesOf = ({ seen }: Looked): Buffer => Buffer.from(seen?.bytes ?? '', 'base64');

export function shownText(looked: Looked, [look]: readonly string[], saved?: string): string {
  const { seen } = looked;
  if (seen === null) return `${looked.node} can be looked at until ${new Date(looked.until).toISOString()}`;
  const bytes = bytesOf(looked);
  const isText = look !== 'event-log' && saved === undefined;
  return [
    isText
      ? bytes.toString('utf8').trimEnd().replaceAll('\t', '  ')
      : `${bytes.length} bytes${saved === undefined ? '; --save writes them' : `, in ${saved}`}`,
    ...(seen.more ? ['the beginning is left out: it is too long'] : []),
    `recorded as ${seen.transcript}, SHA-256 ${seen.sha256}`,
  ].join('\n');
}
