/**
 * Gates that ask an outside check are declared on the orchestrator's own disk, by root there; a rollout only names
 * them. So neither the author of a rollout nor the owner of Redis decides which program runs, or which address is
 * asked.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as z from 'zod';
import { BootwaveError } from '../../../base/error.ts';
import { GATE_NAME } from '../gate.ts';

export const GATES_FOLDER = '/etc/bootwave/gates.d';

/** Bytes of a declaration. */
const MOST = 16 * 1024;

const url = z
  .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
  .max(2048)
  .refine((text) => {
    const { username, password } = URL.parse(text) ?? { username: '', password: '' };
    return username === '' && password === '';
  }, 'holds a name or password, which a reason may show; let the server trust this machine');

const declarationSchema = z.discriminatedUnion('kind', [
  /** Exit code 0 passes. It runs as nobody, without keys, and without a network unless it is given one. */
  z.strictObject({
    kind: z.literal('command'),
    run: z.array(z.string().min(1).max(4096)).min(1).max(64),
    network: z.boolean().default(false),
  }),
  z.strictObject({ kind: z.literal('http'), url, status: z.int().min(100).max(599).default(200) }),
  /** An instant query; every sample must compare. */
  z.strictObject({
    kind: z.literal('prometheus'),
    url,
    query: z.string().min(1).max(8192),
    is: z.enum(['<', '<=', '==', '>=', '>']),
    value: z.number(),
  }),
]);
export type DeclaredGate = z.infer<typeof declarationSchema>;

/**
 * @param owner user id that the file and its folder must belong to
 * @throws BootwaveError `GATE_UNDECLARED`, `GATE_WRITABLE` when others could have written it, `GATE_MALFORMED`
 */
export async function readDeclaration(folder: string, name: string, owner = 0): Promise<DeclaredGate> {
  if (!GATE_NAME.test(name))
    throw refusal('GATE_UNDECLARED', `'${name.slice(0, 80)}' is no name of a gate`, folder);
  const path = join(folder, `${name}.json`);
  // Neither a link, which may lead out of the folder, nor a pipe, which never ends.
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
    (cause) => {
      throw refusal('GATE_UNDECLARED', `the gate '${name}' is not declared in ${path}`, folder, cause);
    },
  );
  try {
    await checkOwner(file, path, owner);
    const { bytesRead, buffer } = await file.read(Buffer.alloc(MOST + 1), 0, MOST + 1, 0);
    if (bytesRead > MOST) throw refusal('GATE_MALFORMED', `${path} is longer than ${MOST} bytes`, folder);
    return parse(buffer.toString('utf8', 0, bytesRead), path, folder);
  } finally {
    await file.close();
  }
}

async function checkOwner(file: FileHandle, path: string, owner: number): Promise<void> {
  const [own, above] = [await file.stat(), await stat(dirname(path))];
  if (!own.isFile()) throw refusal('GATE_UNDECLARED', `${path} is no file`, dirname(path));
  for (const [what, { uid, mode }] of [[path, own] as const, [dirname(path), above] as const]) {
    if (uid === owner && (mode & 0o022) === 0) continue;
    throw refusal('GATE_WRITABLE', `${what} can be written by others than its admin`, dirname(path));
  }
}

function parse(text: string, path: string, folder: string): DeclaredGate {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw refusal('GATE_MALFORMED', `${path} is no JSON`, folder, cause);
  }
  const parsed = declarationSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw refusal('GATE_MALFORMED', `${path}: ${issue?.path.join('.')} ${issue?.message}`.trim(), folder);
}

function refusal(code: string, what: string, folder: string, cause?: unknown): BootwaveError {
  return new BootwaveError({
    code,
    what,
    unchanged: 'nothing was asked, and the gate has not passed',
    next: `have root write it: ${folder}/NAME.json, docs/rollouts.md shows how`,
    cause,
  });
}
