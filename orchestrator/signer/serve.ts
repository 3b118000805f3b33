import { chmod, mkdir, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { BootwaveError, errorOf, messageOf } from '../../base/error.ts';
import { onLines } from '../../base/lines.ts';
import type { Logger } from '../../base/log.ts';
import type { DataPaths } from '../../base/paths.ts';
import { ReleasedBundles } from '../../image/publish/released.ts';
import { journalFile } from '../fleet/decisions/journal.ts';
import { knownOperators } from '../operators/known.ts';
import { FileLock } from '../redis/lock.ts';
import { SOCKET_PATH_BYTES } from '../redis/settings.ts';
import { newestHere } from '../releases/newest.ts';
import { PublishedManifests } from '../releases/published.ts';
import { Consents } from './consents.ts';
import { DecisionsHere } from './decisions.ts';
import { signerFiles } from './files.ts';
import type { SignerLimits } from './judge.ts';
import { Ledger } from './ledger.ts';
import { type Answer, type Ask, askSchema, MOST_LINE } from './lines.ts';
import { fileKey } from './order-key.ts';
import { Signer } from './signer.ts';

export type ServeOptions = {
  paths: DataPaths;
  limits: SignerLimits;
  log: Logger;
  signal: AbortSignal;
  now?: () => number;
};

/** Seconds to wait for a signer that is just ending. */
const LOCK_WAIT = 2;

/**
 * Signs for every process that can open the socket, i.e. the owner of the folder.
 * @returns when it listens; `done` resolves after the signal fired, and rejects when nothing can be signed any more
 * @throws BootwaveError `SIGNER_RUNNING`, `SIGNER_LEDGER`, `ORDER_KEY_MISSING`, `ORDER_KEY_FILE`, `DATA_PATH_TOO_LONG`
 */
export async function serveSigner(options: ServeOptions): Promise<{ done: Promise<void> }> {
  const { paths, limits, log, signal, now = Date.now } = options;
  const files = signerFiles(paths);
  if (Buffer.byteLength(files.socket) > SOCKET_PATH_BYTES)
    throw refusal('DATA_PATH_TOO_LONG', `the path ${files.socket} is too long for a unix socket`);
  const key = await fileKey(paths.keys);
  await mkdir(files.folder, { recursive: true, mode: 0o700 });
  await chmod(files.folder, 0o700);
  const lock = await FileLock.open(files.lock);
  if (!(await lock.exclusive(LOCK_WAIT))) {
    await lock.close();
    throw refusal('SIGNER_RUNNING', `another signer works in ${files.folder}`);
  }
  const ledger = await Ledger.open(files.ledger, now());
  const manifests = new PublishedManifests(paths.images);
  const facts = (version: string) => manifests.manifest(version);
  const bundles = new ReleasedBundles(paths.releases);
  const signer = new Signer({
    ...{ key, ledger, facts, limits, now, bundles: () => bundles.current() },
    consents: new Consents(files.consents),
    decisions: new DecisionsHere(journalFile(paths)),
    newest: newestHere(paths, manifests),
    operators: () => knownOperators(paths),
  });

  const sockets = new Set<Socket>();
  const broken = Promise.withResolvers<never>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    onLines(socket, MOST_LINE, (line) => {
      void answer(signer, line).then((reply) => {
        if (reply === null) socket.destroy();
        else socket.write(`${JSON.stringify(reply)}\n`);
        if (reply?.ok !== false) return;
        log.warn({ code: reply.error.code }, reply.error.what);
        // If the ledger cannot be written, the next process reads it again.
        if (reply.error.code === 'SIGNER_LEDGER') broken.reject(errorOf(reply.error));
      });
    });
  });
  await rm(files.socket, { force: true });
  // Closed to others from the first moment, whatever the folder's mode is.
  const umask = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(files.socket, resolve);
    });
  } finally {
    process.umask(umask);
  }
  const ended = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  const done = Promise.race([ended, broken.promise]).finally(async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of sockets) socket.destroy();
    await closed;
    await ledger.close();
    await lock.close();
  });
  return { done };
}

/** Null: that is not our protocol. */
async function answer(signer: Signer, line: string): Promise<Answer | null> {
  const ask = askSchema.safeParse(parse(line));
  if (!ask.success) return null;
  const { id } = ask.data;
  try {
    const { data } = ask;
    return { id, ok: true, result: (await act(signer, data)) ?? null };
  } catch (error) {
    const fault =
      error instanceof BootwaveError ? error.toJSON() : { code: 'SIGNER_FAULT', what: messageOf(error) };
    return { id, ok: false, error: fault };
  }
}

function act(signer: Signer, ask: Ask): Promise<unknown> {
  switch (ask.op) {
    case 'sign':
      return signer.sign(ask.order, ask.shown);
    case 'standing':
      return signer.standing(ask.node, ask.shown);
    case 'grant':
      return signer.grant(ask.signed, ask.shown);
    case 'learn':
      return signer.learn(ask.node, ask.shown);
  }
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

function refusal(code: string, what: string): BootwaveError {
  return new BootwaveError({ code, what, unchanged: 'nothing was started' });
}
