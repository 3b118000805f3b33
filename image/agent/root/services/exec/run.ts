/**
 * Runs one granted command inside an instance: a unit of its own beside the instance, which systemd ends with this program, in time, and
 * when the order in force names the instance no more or freezes it.
 */
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Duplex, PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { BootwaveError, messageOf, whyText } from '../../../../../base/error.ts';
import { writeFileAtomic } from '../../../../../base/files.ts';
import { flat } from '../../../../../base/line.ts';
import type { RunResult } from '../../../../../base/run.ts';
import { within } from '../../../../../base/wait.ts';
import type { ExecEnd } from '../../../../../protocol/agent/exec.ts';
import { instanceId } from '../../../../../protocol/agent/units.ts';
import { ChunkDecoder } from '../../../../../protocol/chunks.ts';
import { sliceOf } from '../../../../../protocol/service/name.ts';
import { instanceFolder } from '../instance.ts';
import { type PermitPlaces, type Permitted, permit, standing } from './permit.ts';
import { openStreams, send } from './streams.ts';
import { END_PROPERTIES, endOf, execText, execUnit } from './unit.ts';

export type ExecPlaces = PermitPlaces & {
  /** Folder of root, for files of commands that run. */
  execs: string;
  /** `/run/systemd/system` */
  units: string;
  /** Waits as long as a command may run. */
  systemctl(...args: string[]): Promise<RunResult>;
};

/** Milliseconds: until a grant has come; between two looks at the order; for output that is on its way at the end. */
const TIMES = { grant: 10_000, look: 1000, rest: 5000 } as const;

/** @param asker the unit of this program */
export async function runGranted(person: Duplex, asker: string, places: ExecPlaces): Promise<void> {
  const input = new PassThrough();
  const grant = heard(person, input);
  let end: ExecEnd;
  try {
    const envelope = await within(grant, TIMES.grant, 'no grant came');
    const permitted = await permit(envelope, places);
    const { by, instance } = permitted.grant;
    await send(person, 'grant', Buffer.alloc(0));
    console.error(`bootwave-exec: a command in ${instance}, for ${by}`);
    end = await run(permitted, { person, input, asker }, places);
  } catch (error) {
    console.error(`bootwave-exec: ${whyText(error)}`);
    const { code, what, unchanged, next } =
      error instanceof BootwaveError
        ? error
        : new BootwaveError({ code: 'EXEC_FAULT', what: messageOf(error), unchanged: 'nothing was run' });
    end = { error: { code, what: flat(what, 1024), unchanged, next } };
  }
  await send(person, 'end', Buffer.from(JSON.stringify(end)));
  person.end();
}

/** Passes what is for the command on. @returns the grant, as it came */
function heard(person: Duplex, input: PassThrough): Promise<unknown> {
  const decoder = new ChunkDecoder();
  const grant = Promise.withResolvers<unknown>();
  grant.promise.catch(() => {});
  input.on('drain', () => person.resume());
  person.on('data', (bytes: Buffer) => {
    try {
      for (const { stream, bytes: piece } of decoder.push(bytes))
        if (stream === 'grant') grant.resolve(JSON.parse(piece.toString('utf8')));
        else if (stream === 'in' && piece.length === 0) input.end();
        else if (stream === 'in' && !input.writableEnded && !input.write(piece)) person.pause();
    } catch (error) {
      grant.reject(error);
      person.destroy();
    }
  });
  person.on('error', () => {});
  person.on('close', () => grant.reject(new Error('who asked has left')));
  return grant.promise;
}

async function run(
  { grant, limits }: Permitted,
  { person, input, asker }: { person: Duplex; input: PassThrough; asker: string },
  places: ExecPlaces,
): Promise<ExecEnd> {
  const { instance, nonce, command } = grant;
  const id = instanceId(instance);
  const unit = execUnit(nonce);
  const folder = join(places.execs, nonce.slice(0, 32));
  const file = join(places.units, unit);
  let streams: Awaited<ReturnType<typeof openStreams>> | undefined;
  const over = new AbortController();
  let stopped = '';
  const stop = (why: string) => {
    if (stopped !== '' || over.signal.aborted) return;
    stopped = why;
    void (async () => {
      // The word to start it may be on its way still.
      while (!over.signal.aborted) {
        await places.systemctl('stop', unit);
        await sleep(TIMES.look, undefined, { signal: over.signal }).catch(() => {});
      }
    })();
  };
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const config = JSON.parse(await readFile(join(instanceFolder(places, instance), 'config.json'), 'utf8'));
    await writeFileAtomic(join(folder, 'process.json'), JSON.stringify({ ...config.process, args: command }));
    streams = await openStreams(folder, input, person);
    await writeFileAtomic(file, execText({ id, slice: sliceOf(instance), asker, folder }, limits), 0o644);
    if (person.destroyed) throw new Error('who asked has left');
    const left = () => stop('who asked has left');
    person.once('close', left);
    const started = places.systemctl('start', unit);
    const watched = watch(instance, places, over.signal).catch((error: unknown) => stop(whyText(error)));
    const { code } = await started.finally(() => over.abort());
    person.off('close', left);
    await watched;
    await within(streams.ended(), TIMES.rest, 'its output does not end').catch(() => {});
    if (stopped !== '') return { exit: 137, why: flat(stopped, 512) };
    if (code === 0) return { exit: 0, why: '' };
    return endOf((await places.systemctl('show', `--property=${END_PROPERTIES.join(',')}`, unit)).stdout);
  } finally {
    over.abort();
    streams?.close();
    await rm(file, { force: true });
    await rm(folder, { recursive: true, force: true });
    // One that has failed stays known until somebody has heard of it.
    await places.systemctl('reset-failed', unit);
  }
}

/** Until it is over. @throws when commands may run there no more */
async function watch(instance: string, places: ExecPlaces, over: AbortSignal): Promise<void> {
  for (;;) {
    await sleep(TIMES.look, undefined, { signal: over }).catch(() => {});
    if (over.aborted) return;
    await standing(instance, places);
  }
}
