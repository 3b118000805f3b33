/** Where a running server is asked for operations. */
import { randomBytes, X509Certificate } from 'node:crypto';
import { chmod, mkdir, rm, utimes, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { BootwaveError, messageOf } from '../../base/error.ts';
import { firstEvent } from '../../base/first-event.ts';
import { jsonIn } from '../../base/json.ts';
import { onLines } from '../../base/lines.ts';
import { operatorRefusal } from '../../keys/operator.ts';
import { voteSchema } from '../../keys/vote.ts';
import { byProof, ofHost } from '../operators/identify.ts';
import type { Identity } from '../operators/judge.ts';
import { FileLock } from '../redis/lock.ts';
import { SOCKET_PATH_BYTES } from '../redis/settings.ts';
import { Carried } from './carried.ts';
import { doorFiles } from './files.ts';
import {
  type AnswerLine,
  type Claim,
  type Greeting,
  type MeanwhileLine,
  MOST_ASK,
  PROTOCOL,
} from './lines.ts';
import type { Carrying, House } from './operation.ts';
import { perform } from './perform.ts';
import { tellOperation } from './told.ts';

const claimSchema = z.union([
  z.strictObject({ certificate: z.string().max(16_384), proof: z.string().max(1024) }),
  z.strictObject({ sudo: z.string().max(256).optional(), user: z.string().max(256) }),
]);
const askSchema = z.strictObject({
  operation: z.string().max(64),
  input: z.unknown(),
  by: claimSchema.optional(),
  signed: z.strictObject({ text: z.string(), vote: voteSchema }).optional(),
});

const dataSchema = z.strictObject({ data: z.base64() });

/** Requests of one connection that wait for those before them; and their characters, because each may be as long as a line. */
const MOST_WAITING = { requests: 16, characters: 2 * MOST_ASK } as const;
/** Milliseconds that a connection may be silent while nothing is done for it. */
const IDLE = 120_000;
const TOUCH = 5_000;
/** Milliseconds between two looks whether another server's door has closed. */
const AGAIN = 1_000;

export type Identify = (claim: Claim | undefined, nonce: Buffer) => Promise<Identity>;

export type Serving = {
  identify: Identify;
  /** Somebody elsewhere. */
  remote: boolean;
  /** Milliseconds that it may be silent while nothing is done for it. */
  idle: number;
};

/** Answers one connection, one request after the other, until it ends. */
export function serve(socket: Socket, house: House, { identify, remote, idle }: Serving): void {
  const nonce = randomBytes(32);
  const waiting = { requests: 0, characters: 0 };
  let turn: Promise<void> = Promise.resolve();
  let carried: Carried | null = null;
  const begin = (opened: object) => {
    carried = new Carried(socket);
    write({ opened });
    return carried;
  };
  const write = (line: Greeting | AnswerLine | MeanwhileLine): boolean =>
    socket.destroyed || socket.write(`${JSON.stringify(line)}\n`);
  const from = socket.remoteAddress ?? 'this machine';
  socket.setTimeout(idle);
  socket
    .on('error', () => {})
    .on('timeout', () => {
      if (waiting.requests === 0 || socket.writableNeedDrain) socket.destroy();
    });
  onLines(socket, MOST_ASK, (line) => {
    if (carried !== null) {
      const data = dataSchema.safeParse(jsonIn(line));
      // What was on its way when it ended is for nobody.
      if (data.success) return carried.hear(data.data);
    }
    waiting.requests += 1;
    waiting.characters += line.length;
    if (waiting.requests > MOST_WAITING.requests || waiting.characters > MOST_WAITING.characters) {
      socket.destroy();
      return;
    }
    turn = turn.then(async () => {
      if (socket.destroyed) return;
      const answered = await answer(house, { identify, nonce, remote, begin, from }, line);
      carried?.destroy();
      waiting.requests -= 1;
      waiting.characters -= line.length;
      if (answered === null) socket.destroy();
      // Who does not read is answered nothing more: their answers would lie here.
      else if (!write(answered)) await firstEvent(socket, ['drain', 'close']).catch(() => {});
    });
  });
  write({ protocol: PROTOCOL, nonce: nonce.toString('hex') });
}

type Asking = Pick<Serving, 'identify' | 'remote'> & Pick<Carrying, 'begin' | 'from'> & { nonce: Buffer };

/** Null: that is not our protocol. */
async function answer(
  house: House,
  { identify, nonce, remote, begin, from }: Asking,
  line: string,
): Promise<AnswerLine | null> {
  const parsed = askSchema.safeParse(jsonIn(line));
  if (!parsed.success) return null;
  const { operation, input, by, signed } = parsed.data;
  let actor = 'nobody';
  const told = (outcome: string) => tellOperation(house, actor, { operation, input }, outcome);
  let renew: { renew?: true } = {};
  try {
    const identity = await identify(by, nonce);
    actor = identity.actor;
    if (identity.renew === true) renew = { renew: true };
    const still = async () => void (await identify(by, nonce));
    const carrying = { from, begin, still };
    const done = await perform(house, { identity, remote, carrying }, { operation, input, signed });
    if (done.kind !== 'sign') told(done.kind);
    return { ...renew, ...lineOf(done) };
  } catch (error) {
    const fault = faultOf(house, operation, error);
    told(fault.code);
    return { ...renew, ok: false, error: fault };
  }
}

function lineOf(done: Awaited<ReturnType<typeof perform>>): AnswerLine {
  switch (done.kind) {
    case 'done':
      return { ok: true, result: done.result };
    case 'sign':
      return { ok: false, sign: { word: done.word, text: done.text, at: done.at } };
    case 'waits': {
      const { id, wish } = done.request;
      const { operation, input, expires } = wish;
      return { ok: true, waits: { id, operation, input, expires }, shown: done.shown };
    }
  }
}

function faultOf({ log }: House, operation: string, error: unknown) {
  if (error instanceof BootwaveError) return error.toJSON();
  log.error({ operation, reason: error instanceof Error ? error.stack : String(error) }, 'unexpected');
  return { code: 'UNEXPECTED', what: messageOf(error) };
}

/**
 * Opens the door of this data directory; if another server has it, as soon as that server has ended.
 * @returns when it is open, or when another server's is; `done` resolves after the signal fired and all is closed
 * @throws BootwaveError `DATA_PATH_TOO_LONG`
 */
export async function openDoor(house: House): Promise<{ done: Promise<void> }> {
  const { paths, signal } = house;
  const files = doorFiles(paths);
  if (Buffer.byteLength(files.socket) > SOCKET_PATH_BYTES)
    throw new BootwaveError({
      code: 'DATA_PATH_TOO_LONG',
      what: `the path ${files.socket} is longer than the ${SOCKET_PATH_BYTES} bytes that a unix socket may have`,
      unchanged: 'nothing was started',
      next: 'choose a data directory with a shorter path (--data or BOOTWAVE_DATA)',
    });
  await mkdir(files.folder, { recursive: true, mode: 0o700 });
  await chmod(files.folder, 0o700);
  const lock = await FileLock.open(files.lock);
  const mine = await lock.exclusiveNow();
  if (!mine) house.log.info({ folder: files.folder }, 'another server answers commands here');
  const first = mine ? await listen(house, files.socket) : null;
  return {
    done: (async () => {
      let server = first;
      while (server === null && !signal.aborted) {
        await sleep(AGAIN, undefined, { signal }).catch(() => {});
        if (!signal.aborted && (await lock.exclusiveNow())) server = await listen(house, files.socket);
      }
      if (server !== null) await keep(server, files.listened, signal);
      await lock.close();
    })(),
  };
}

async function listen(house: House, path: string): Promise<{ server: Server; sockets: Set<Socket> }> {
  const { paths } = house;
  const sockets = new Set<Socket>();
  const identify: Identify = async (claim, nonce) => {
    if (claim === undefined) throw operatorRefusal('OPERATOR_MISSING', 'nobody said who asks');
    if ('user' in claim) return ofHost(paths, claim);
    const proof = Buffer.from(claim.proof, 'base64');
    return byProof(paths, { certificate: certificateOf(claim.certificate), nonce, proof }, house.now());
  };
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    serve(socket, house, { identify, remote: false, idle: IDLE });
  });
  await rm(path, { force: true });
  // Closed to others from the first moment, whatever the folder's mode is.
  const umask = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(path, resolve);
    });
  } finally {
    process.umask(umask);
  }
  return { server, sockets };
}

function certificateOf(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    throw operatorRefusal('OPERATOR_FILE', 'what was shown is no certificate');
  }
}

/** Until the signal fires. */
async function keep(
  { server, sockets }: { server: Server; sockets: Set<Socket> },
  listened: string,
  signal: AbortSignal,
): Promise<void> {
  const touch = async () => {
    const now = new Date();
    await utimes(listened, now, now).catch(() => writeFile(listened, ''));
  };
  while (!signal.aborted) {
    await touch().catch(() => {});
    await sleep(TOUCH, undefined, { signal }).catch(() => {});
  }
  await touch().catch(() => {});
  const closed = new Promise((resolve) => server.close(resolve));
  for (const socket of sockets) socket.destroy();
  await closed;
}
