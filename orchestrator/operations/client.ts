/** Asks a running server. Loads little: a command must answer at once. */

import { stat } from 'node:fs/promises';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { BootwaveError, errorOf, refusal } from '../../base/error.ts';
import { onLines } from '../../base/lines.ts';
import type { DataPaths } from '../../base/paths.ts';
import type { Credential } from '../../keys/credential.ts';
import { hostUser } from '../operators/host-user.ts';
import type { Signed } from '../operators/request.ts';
import { Carried } from './carried.ts';
import { doorFiles } from './files.ts';
import {
  type AnswerLine,
  type AskLine,
  type Claim,
  type Greeting,
  type MeanwhileLine,
  MOST_ANSWER,
  PROTOCOL,
  type Waiting,
} from './lines.ts';

/** Milliseconds until a server that has taken a connection has greeted. */
const GREETING = 20_000;

export type Answered = { result: unknown } | { waits: Waiting; shown: object };

export type Caller = {
  /** The operator; null: the user that runs this process. */
  credential: Credential | null;
  /** Shows a person what they are about to sign. */
  onSign?(text: string): void | Promise<void>;
  onRenew?(): void;
  /** The operation has begun, and bytes go both ways until it is done. */
  onOpened?(opened: object, bytes: Duplex): void;
};

/** How a door is reached. `proven`: the connection itself shows who asks. */
export type Way = { open(): Promise<Duplex>; proven: boolean; name: string };

/** The socket of the server of this data directory. */
export function socketOf(paths: Pick<DataPaths, 'root'>): Way {
  const { socket: path } = doorFiles(paths);
  return {
    name: path,
    proven: false,
    open: () =>
      new Promise<Duplex>((resolve, reject) => {
        const socket = connect(path);
        socket.once('connect', () => resolve(socket));
        socket.once('error', (error: NodeJS.ErrnoException) => {
          failure(paths, path, error).then(reject, reject);
        });
      }),
  };
}

/**
 * One operation, as its caller gets it.
 * @throws BootwaveError the server's refusal; `SERVER_NOT_RUNNING`, `SERVER_SILENT`, `SERVER_LOST`, `SERVER_VERSION`,
 * `OPERATOR_MISSING`
 */
export async function ask(way: Way, caller: Caller, operation: string, input: unknown): Promise<Answered> {
  const socket = await way.open();
  const lines = new Lines(socket, way.name);
  try {
    const { protocol, nonce } = (await lines.next(GREETING)) as Greeting;
    if (protocol !== PROTOCOL) throw otherVersion(way.name);
    const by = way.proven ? {} : { by: await claim(caller.credential, nonce) };
    const exchange = async (signed?: Signed): Promise<AnswerLine> => {
      const line: AskLine = { operation, input, ...by, ...(signed === undefined ? {} : { signed }) };
      socket.write(`${JSON.stringify(line)}\n`);
      let carried: Carried | null = null;
      for (;;) {
        const told = (await lines.next()) as AnswerLine | MeanwhileLine;
        if ('data' in told) carried?.hear(told);
        else if ('opened' in told) {
          carried = new Carried(socket);
          caller.onOpened?.(told.opened, carried);
        } else {
          await carried?.rest();
          return told;
        }
      }
    };
    let answer = await exchange();
    if (answer.renew === true) caller.onRenew?.();
    if ('sign' in answer) answer = await exchange(await sign(caller, operation, answer.sign));
    if ('error' in answer) throw errorOf(answer.error);
    if ('sign' in answer) throw otherVersion(way.name);
    return answer;
  } finally {
    socket.destroy();
  }
}

async function claim(credential: Credential | null, nonce: string): Promise<Claim> {
  if (credential === null) return hostUser();
  const { prove } = await import('../../keys/credential.ts');
  const proof = prove(credential.key, Buffer.from(nonce, 'hex')).toString('base64');
  return { certificate: credential.certificate.toString(), proof };
}

/**
 * Signs what a person wants, and nothing that a server adds: the signed text names the operation that was asked for.
 */
async function sign(
  { credential, onSign }: Caller,
  operation: string,
  { word, text, at }: { word: 'ask' | 'approve'; text: string; at: number },
): Promise<Signed> {
  const wish = JSON.parse(text);
  if (
    credential === null ||
    (word === 'ask' ? wish.operation !== operation : operation !== 'request approve')
  )
    throw new BootwaveError({
      code: 'REQUEST_SIGNATURE',
      what: `the server wants '${operation}' signed as something else`,
      unchanged: 'nothing was signed',
      next: 'find out which server that is',
    });
  await onSign?.(text);
  const { vote } = await import('../../keys/vote.ts');
  return { text, vote: vote(credential, word, text, at) };
}

/** Lines as they come, one awaited at a time. */
class Lines {
  readonly #name: string;
  #come: string[] = [];
  #ended = false;
  #wake = () => {};

  constructor(socket: Duplex, name: string) {
    this.#name = name;
    onLines(socket, MOST_ANSWER, (line) => {
      this.#come.push(line);
      this.#wake();
    });
    const end = () => {
      this.#ended = true;
      this.#wake();
    };
    socket.on('close', end).on('end', end).on('error', end);
  }

  /** @param within milliseconds; absent: however long it takes */
  async next(within?: number): Promise<unknown> {
    let late = false;
    const timer =
      within === undefined
        ? undefined
        : setTimeout(() => {
            late = true;
            this.#wake();
          }, within);
    try {
      while (this.#come.length === 0 && !this.#ended && !late)
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    } finally {
      clearTimeout(timer);
    }
    const line = this.#come.shift();
    if (line === undefined) throw late || within !== undefined ? silent(this.#name, late) : lost(this.#name);
    try {
      return JSON.parse(line);
    } catch {
      throw otherVersion(this.#name);
    }
  }
}

async function failure(
  paths: Pick<DataPaths, 'root'>,
  path: string,
  error: NodeJS.ErrnoException,
): Promise<BootwaveError> {
  if (error.code === 'EACCES' || error.code === 'EPERM')
    return new BootwaveError({
      code: 'OPERATOR_MISSING',
      what: `${paths.root} is not yours: only a certificate says who you are, and only root and the owner may use it here`,
      unchanged: 'nothing was changed',
      next: "give --server URL and --as FILE; an admin makes the file: 'bootwave operator add'",
      cause: error,
    });
  const { listened } = doorFiles(paths);
  const since = await stat(listened).then(
    ({ mtime }) => `nobody has listened at ${path} since ${mtime.toISOString()}`,
    () => `no server has listened at ${path} yet`,
  );
  return new BootwaveError({
    code: 'SERVER_NOT_RUNNING',
    what: since,
    unchanged: 'nothing was changed; old records are not shown, because nobody keeps them current',
    next: `start it: bootwave --data ${paths.root} up (with --interface where machines boot); one elsewhere: --server https://HOST:PORT and --as FILE`,
    cause: error,
  });
}

function silent(name: string, late: boolean): BootwaveError {
  return new BootwaveError({
    code: 'SERVER_SILENT',
    what: `the server at ${name} ${late ? 'accepts connections but sends nothing' : 'closed the connection without an answer'}`,
    unchanged: 'nothing was asked',
    next: late
      ? 'look at its log; restart it if it hangs'
      : 'is your certificate one of this fleet, for an operator? Else look at its log',
  });
}

function lost(name: string): BootwaveError {
  return new BootwaveError({
    code: 'SERVER_LOST',
    what: `the server at ${name} ended before it had answered`,
    unchanged: 'unknown: it may have been done or not',
    next: "look first, for example with 'bootwave audit list', then ask again",
  });
}

function otherVersion(name: string): BootwaveError {
  return refusal(
    'SERVER_VERSION',
    `what answers at ${name} speaks another protocol`,
    'use the command line of the version of the server',
  );
}
