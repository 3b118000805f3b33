/** One file, out of an instance of a slice or into it: a command there (exec.ts), of the program that its node adds. */
import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rename, rm, stat } from 'node:fs/promises';
import { basename, join, posix } from 'node:path';
import { type Readable, Writable } from 'node:stream';
import { type Command, InvalidArgumentError } from 'commander';
import { BootwaveError, messageOf } from '../../base/error.ts';
import { digestOfFile } from '../../base/files.ts';
import { EXEC_LIMITS } from '../../protocol/link/exec.ts';
import { COPY_EXITS, COPY_PROGRAM } from '../../protocol/service/copy.ts';
import { harmless, print } from '../context.ts';
import { commandFor, type Json } from '../option.ts';
import { execIn, SERVICE_HELP, type Where } from './exec.ts';

type There = Where & { path: string };
export type Copied = { to: string; bytes: number };

/** `SLICE/NODE:PATH`; null: a path of this machine, also every one that begins with `.` or `/`. */
export function placeOf(word: string): Omit<There, 'service'> | null {
  const [, name, node, path] = /^([a-z][0-9a-z-]*)\/([^/:]+):(.+)$/s.exec(word) ?? [];
  return name === undefined || node === undefined || path === undefined ? null : { name, node, path };
}

/** @throws BootwaveError `COPY_*`, and those of `slice exec`; then nothing was written */
async function get(command: Command, { path, ...where }: There, local: string): Promise<Copied> {
  const into = await stat(local).catch(() => null);
  const name = posix.basename(path);
  if (into?.isDirectory() && /^(?:\.{0,2}|\/)$/.test(name))
    throw wrong('COPY_NAME', `${path} names no file`, HERE, 'name a file of the instance, not a folder');
  const to = into?.isDirectory() ? join(local, name) : local;
  // The bytes come from a machine that may lie: they get this name and no other, and only when all of them are there.
  const beside = `${to}.${randomBytes(6).toString('hex')}.tmp`;
  const file = await open(beside, 'wx', 0o666).catch(unwritable);
  let bytes = 0;
  const output = new Writable({
    write(piece: Buffer, _, done) {
      bytes += piece.length;
      file.writeFile(piece).then(() => done(), done);
    },
  });
  try {
    const told = await asked(command, where, ['get', path], null, output, HERE);
    if (told.trim() !== `${bytes}`)
      throw wrong('COPY_CUT', 'not all of it came, or more than there is', HERE, 'try again');
    await file.sync();
    await rename(beside, to).catch(unwritable);
  } finally {
    await file.close();
    await rm(beside, { force: true });
  }
  return { to, bytes };
}

/** @throws BootwaveError as `get` */
async function put(command: Command, local: string, { path, ...where }: There): Promise<Copied> {
  const from = await stat(local).catch((cause) => {
    throw wrong(
      'COPY_LOCAL',
      messageOf(cause),
      THERE,
      'name a file here that is there and that you may read',
    );
  });
  if (!from.isFile())
    throw wrong('COPY_KIND', `${local} is no regular file`, THERE, 'copy one file at a time');
  const { size, mode } = from;
  if (size > EXEC_LIMITS.bytes)
    throw wrong(
      'COPY_FULL',
      `${local} has more than ${EXEC_LIMITS.bytes / 2 ** 30} GiB`,
      THERE,
      'copy it in parts',
    );
  const sha256 = await digestOfFile(local);
  const input = createReadStream(local, { end: Math.max(size - 1, 0) });
  const permissions = (mode & 0o777).toString(8);
  // Signed with the command, and so in the history: on its way nobody can put anything else there.
  const words = ['put', path, basename(local), permissions, `${size}`, sha256];
  try {
    await asked(command, where, words, input, new Writable({ write: (_, __, done) => done() }), THERE);
  } finally {
    input.destroy();
  }
  return { to: path, bytes: size };
}

function unwritable(cause: unknown): never {
  throw wrong('COPY_LOCAL', messageOf(cause), HERE, 'name a file in a folder here in which you may write');
}

const HERE = 'nothing was written here';
const THERE = 'nothing was changed there';
/** Characters of what the program says that anybody looks at. */
const TOLD = 1024;

/** @returns what the program said to the end */
async function asked(
  command: Command,
  where: Where,
  words: string[],
  input: Readable | null,
  output: Writable,
  unchanged: string,
): Promise<string> {
  let told = '';
  const errors = new Writable({
    write(piece: Buffer, _, done) {
      told = `${told}${piece.toString('utf8')}`.slice(0, TOLD);
      done();
    },
  });
  const { exit } = await execIn(command, where, [COPY_PROGRAM, ...words], { input, output, errors });
  if (exit === 0) return told;
  const said = harmless(told.trim());
  const means = MEANS.find((one) => one.exit === exit);
  if (means !== undefined) throw wrong(means.code, means.what, unchanged, means.next);
  if (told.includes(COPY_PROGRAM))
    throw wrong(
      'COPY_IMAGE',
      'the image of that node is from before it could copy',
      unchanged,
      'ask the core team for a newer image there',
    );
  throw wrong(
    'COPY_FAILED',
    `it was not copied: ${said || `exit code ${exit}`}`,
    'no part of a file was left',
    'look at what it says, then try again',
  );
}

const MEANS: readonly { exit: number; code: string; what: string; next: string }[] = [
  {
    ...{ exit: COPY_EXITS.ABSENT, code: 'COPY_ABSENT' },
    what: 'there is no such file or folder in the instance',
    next: 'name one that is there',
  },
  {
    ...{ exit: COPY_EXITS.DENIED, code: 'COPY_DENIED' },
    what: 'the service may not do that there',
    next: 'an image is read-only: use its state, or /tmp',
  },
  {
    ...{ exit: COPY_EXITS.KIND, code: 'COPY_KIND' },
    what: 'that is no regular file in the instance',
    next: 'copy one file at a time',
  },
  {
    ...{ exit: COPY_EXITS.FULL, code: 'COPY_FULL' },
    what: 'there is no room for it in the instance',
    next: 'make room, or have the manifest ask for more',
  },
  {
    ...{ exit: COPY_EXITS.CHANGED, code: 'COPY_CHANGED' },
    what: 'what came there is not what was to be sent',
    next: 'try again when the file does not change',
  },
];

const wrong = (name: string, what: string, unchanged: string, next: string) =>
  new BootwaveError({ code: name, what, unchanged, next });

export function registerCopy(group: Command): void {
  const declared = { name: 'slice cp', help: 'copy a file out of an instance of a slice, or into it' };
  commandFor(group, declared, '<from> <to>')
    .addHelpText('after', '\nOne of both is SLICE/NODE:PATH, the other one a path here.')
    .option('--service <name>', SERVICE_HELP)
    .action(async (from: string, to: string, options: Json & { service?: string }, command: Command) => {
      const { json, service } = options;
      const [out, into] = [placeOf(from), placeOf(to)];
      if ((out === null) === (into === null))
        throw new InvalidArgumentError('one of both is SLICE/NODE:PATH, the other one a path here');
      const copied =
        out !== null
          ? await get(command, { ...out, service }, to)
          : await put(command, from, { ...into!, service });
      print(json, copied, () => `${copied.bytes} bytes copied to ${copied.to}`);
    });
}
