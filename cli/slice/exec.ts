import { once } from 'node:events';
import type { Duplex, Readable, Writable } from 'node:stream';
import { isDeepStrictEqual } from 'node:util';
import type { Command } from 'commander';
import { defined } from '../../base/defined.ts';
import { BootwaveError, refusal } from '../../base/error.ts';
import type { Ran } from '../../orchestrator/operations/exec/acts.ts';
import * as exec from '../../orchestrator/operations/exec/declared.ts';
import { ChunkDecoder } from '../../protocol/chunks.ts';
import { harmless, jsonText } from '../context.ts';
import { ConsoleText } from '../node/console-text.ts';
import { callOpen } from '../operate.ts';
import { commandFor, type Json } from '../option.ts';

export const SERVICE_HELP =
  'in the instance of this one, without its version; needed where the slice runs several';
export type Where = { name: string; node: string; service?: string | undefined };
export type Streams = {
  /** Null: it is given nothing. */
  input: Readable | null;
  output: Writable;
  errors: Writable;
};

/** A command in an instance, with these streams. @throws BootwaveError `EXEC_ENDED`: it was ended before it had ended by itself */
export async function execIn(
  command: Command,
  where: Where,
  words: readonly string[],
  { input, output, errors }: Streams,
): Promise<Ran> {
  const asked = { ...defined(where), command: [...words] };
  let all = Promise.resolve();
  let failed: unknown;
  const onOpened = (_: object, bytes: Duplex) => {
    const fail = (error: unknown) => {
      failed ??= error;
      bytes.destroy();
    };
    for (const to of [output, errors]) to.once('error', fail);
    all = show(bytes, output, errors).catch(fail);
    if (input === null) bytes.end();
    else input.on('error', () => bytes.destroy()).pipe(bytes);
  };
  const onText = (text: string) => onSign(text, asked);
  const ran = await callOpen(command, exec.sliceExec, asked, onOpened, onText).catch((error: unknown) => {
    throw failed ?? error;
  });
  input?.unpipe();
  await all;
  if (failed !== undefined) throw failed;
  if (ran.exit !== null) return ran;
  throw refusal('EXEC_ENDED', `the command was ended: ${harmless(ran.why)}`, 'look at what it has done');
}

/** Signed is what was asked for, and nothing that a server makes of it. */
function onSign(text: string, { name, command }: { name: string; command: string[] }): void {
  const { input } = JSON.parse(text);
  if (input?.name === name && isDeepStrictEqual(input?.command, command)) return;
  throw new BootwaveError({
    code: 'REQUEST_SIGNATURE',
    what: 'the server wants another command signed than the one that was given',
    unchanged: 'nothing was signed',
    next: 'find out which server that is',
  });
}

async function show(bytes: Duplex, output: Writable, errors: Writable): Promise<void> {
  const decoder = new ChunkDecoder();
  // What is shown comes through a node, which may be in somebody else's hands: a terminal gets of it what it gets of a console.
  const filter = (to: Writable) => {
    const text = new ConsoleText();
    return (piece: Buffer) => ('isTTY' in to && to.isTTY === true ? text.next(piece) : piece);
  };
  const to = { out: output, err: errors };
  const shown = { out: filter(output), err: filter(errors) };
  for await (const came of bytes.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>)
    for (const { stream, bytes: piece } of decoder.push(came))
      if ((stream === 'out' || stream === 'err') && !to[stream].write(shown[stream](piece)))
        await once(to[stream], 'drain');
}

type Options = Json & { node: string; service?: string; stdin?: boolean };

export function registerExec(group: Command): void {
  commandFor(group, exec.sliceExec, '<name> <command...>')
    .requiredOption('--node <name>', 'on which of its nodes')
    .option('--service <name>', SERVICE_HELP)
    .option('-i, --stdin', 'give it what comes on standard input')
    .action(async (name: string, words: string[], options: Options, command: Command) => {
      const { json, node, service, stdin } = options;
      const output = json === true ? process.stderr : process.stdout;
      const input = stdin === true ? process.stdin : null;
      const ran = await execIn(command, { name, node, service }, words, {
        ...{ input, output, errors: process.stderr },
      }).finally(() => process.stdin.pause());
      if (json === true) console.log(jsonText(ran));
      else if (ran.why !== '') console.error(harmless(`bootwave: ${ran.why}`));
      process.exitCode = ran.exit ?? 1;
    });
}
