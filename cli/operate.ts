/** How a command gets an operation done: by the running server, or in this process where none is needed. */
import type { Command } from 'commander';
import { defined } from '../base/defined.ts';
import { BootwaveError } from '../base/error.ts';
import type { Answered, Caller, Way } from '../orchestrator/operations/client.ts';
import { ask, socketOf } from '../orchestrator/operations/client.ts';
import type { Operation } from '../orchestrator/operations/operation.ts';
import { harmless, pathsOf } from './context.ts';

/** What a person sees of an operation that carries bytes. */
export type Opened = NonNullable<Caller['onOpened']>;

type Global = { as?: string; server?: string; root?: string };

const RENEW = 'bootwave: the CA of your certificate is on its way out: have an admin give you another';
const onRenew = () => console.error(RENEW);

/**
 * Done by the running server.
 * @param read a text that a person has read and agreed to sign: no other text is signed
 * @throws BootwaveError of the operation; `SERVER_NOT_RUNNING`
 */
export async function call<I, R>(
  command: Command,
  operation: Operation<I, R>,
  input: I,
  read?: string,
): Promise<R> {
  if (operation.offline !== undefined && globals(command).server === undefined)
    return (await here(command, operation, input)) as R;
  const answered = await answer(command, operation, input, { onSign: (text) => onSign(text, read) });
  if ('result' in answered) return answered.result as R;
  throw new Error(`${operation.name} takes two people`);
}

/** Done by the running server, with bytes both ways meanwhile. */
export async function callOpen<I, R>(
  command: Command,
  operation: Operation<I, R>,
  input: I,
  onOpened: Opened,
  onSign?: Caller['onSign'],
): Promise<R> {
  const answered = await answer(command, operation, input, defined({ onOpened, onSign }));
  if ('result' in answered) return answered.result as R;
  throw new Error(`${operation.name} takes two people`);
}

/** An operation that needs two people: the waiting request, or the result if nobody needs to be asked. */
export async function callTwo<I, R>(command: Command, operation: Operation<I, R>, input: I) {
  return (await answer(command, operation, input, { onSign: (text) => onSign(text) })) as
    | { result: R }
    | { waits: { id: string; expires: number }; shown: object };
}

/** Who a command runs as, and how it reaches the server: once for all its requests. */
async function answer<I, R>(
  command: Command,
  operation: Operation<I, R>,
  input: I,
  hooks: Pick<Caller, 'onSign' | 'onOpened'>,
): Promise<Answered> {
  const words = globals(command);
  const { as, server } = words;
  const credential = as === undefined ? null : await credentialIn(as);
  const caller: Caller = { credential, onRenew, ...hooks };
  const way: Way = server === undefined ? socketOf(pathsOf(command)) : await remote(words, server);
  return ask(way, caller, operation.name, input);
}

/**
 * Done by this process, on the files of this machine.
 * @param tell what comes meanwhile
 */
export async function here<I, R>(
  command: Command,
  operation: Operation<I, R>,
  input: I,
  tell: (progress: unknown) => void = () => {},
): Promise<R> {
  const { performHere } = await import('../orchestrator/operations/here.ts');
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  try {
    const { as } = globals(command);
    const options = { paths: pathsOf(command), as, signal: stop.signal, tell, onRenew };
    return (await performHere(options, operation.name, input)) as R;
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

function globals(command: Command): Global {
  const { as, server, root } = command.optsWithGlobals<Global>();
  const file = as ?? process.env.BOOTWAVE_OPERATOR;
  const elsewhere = server ?? process.env.BOOTWAVE_SERVER;
  return defined({ as: file || undefined, server: elsewhere || undefined, root });
}

async function credentialIn(file: string) {
  const { readCredential } = await import('../keys/credential.ts');
  return readCredential(file);
}

async function remote({ as, root }: Global, url: string): Promise<Way> {
  if (as === undefined)
    throw new BootwaveError({
      code: 'OPERATOR_MISSING',
      what: 'a server elsewhere knows people by their certificates alone',
      unchanged: 'nothing was asked',
      next: "give --as FILE; an admin makes it: 'bootwave operator add'",
    });
  const { remoteWay } = await import('../orchestrator/operations/remote.ts');
  return remoteWay({ url, as, root });
}

function onSign(text: string, read?: string): void {
  if (read !== undefined && text !== read)
    throw new BootwaveError({
      code: 'REQUEST_SIGNATURE',
      what: 'the server wants another text signed than the one that it showed',
      unchanged: 'nothing was signed',
      next: 'find out which server that is',
    });
  if (read === undefined) console.error(signing(text));
}

/** The complete text to be signed, on the screen of the signer. */
function signing(text: string): string {
  const { operation, input, actor, kind, about, reason } = JSON.parse(text);
  const what = operation === undefined ? `${kind} ${about}` : `${operation} ${JSON.stringify(input)}`;
  return harmless(`signed with your key: ${what}, asked by ${actor}${reason ? ` because: ${reason}` : ''}`);
}
