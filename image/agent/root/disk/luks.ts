import * as z from 'zod/mini';
import { BootwaveError } from '../../../../base/error.ts';
import { exists } from '../../../../base/files.ts';
import type { RunOptions, RunResult } from '../../../../base/run.ts';
import { CIPHER, DERIVATION, strangeHeader } from './luks-header.ts';
import { type Sealed, sealedSchema } from './seal.ts';

const MAPPED_NAME = 'bootwave-state';
export const MAPPED = `/dev/mapper/${MAPPED_NAME}`;

/** Our own token type; cryptsetup keeps unknown types unchanged (LUKS2 on-disk format, 3.5). */
const TOKEN_TYPE = 'bootwave-tpm2';
const tokenSchema = z.object({ type: z.literal(TOKEN_TYPE), sealed: sealedSchema });

/** The tokens of the header (LUKS2 on-disk format, 3.5): token number -> token, of any kind. */
const headerSchema = z.object({ tokens: z.record(z.string(), z.unknown()) });
/** Tokens that a header has room for. */
const MOST_TOKENS = 32;

const LIMIT = { timeout: 120_000 };
/** One helper at a time works on disks (alone.ts), so cryptsetup's own locks below /run are not needed. */
const UNLOCKED = '--disable-locks';

/** Runs a program and hands back its exit code. */
export type Runner = (program: string, args: readonly string[], options: RunOptions) => Promise<RunResult>;
export type DiskTools = { run: Runner; mustRun: Runner };

export async function isLuks(device: string, { run }: DiskTools): Promise<boolean> {
  return (await run('cryptsetup', [UNLOCKED, 'isLuks', '--type', 'luks2', device], LIMIT)).code === 0;
}

/**
 * Makes the device a LUKS2 container, whatever was on it.
 * @param secret 32 random bytes: nothing that stretching a password could add to
 */
export async function formatLuks(
  device: string,
  secret: Uint8Array,
  sealed: Sealed,
  { mustRun }: DiskTools,
): Promise<void> {
  const format = ['luksFormat', '--batch-mode', '--type', 'luks2', '--key-file', '-'];
  const cipher = ['--cipher', CIPHER, '--key-size', '512'];
  const derivation = ['--pbkdf', DERIVATION, '--pbkdf-force-iterations', '1000'];
  await mustRun('cryptsetup', [UNLOCKED, ...format, ...cipher, ...derivation, device], {
    ...LIMIT,
    input: secret,
  });
  await importToken(device, 0, sealed, mustRun);
}

/** Call it before anything in the header is used. @throws BootwaveError `LUKS_HEADER_STRANGE` */
export async function mustBeAsMade(device: string, { run }: Pick<DiskTools, 'run'>): Promise<void> {
  const strange = strangeHeader(await headerOf(device, run));
  if (strange === null) return;
  throw new BootwaveError({
    code: 'LUKS_HEADER_STRANGE',
    what: `the header of its container is not ours: ${strange}`,
    unchanged: 'nothing was opened',
    next: 'nothing: the state is made again',
  });
}

/** One token with a seal of the container's key. */
export type HeldSeal = { id: number; sealed: Sealed };

/** Our tokens that can be parsed, in the order of their numbers; none if the header cannot be read. */
export async function sealsOf(device: string, { run }: Pick<DiskTools, 'run'>): Promise<HeldSeal[]> {
  return tokensOf(await headerOf(device, run)).flatMap(([number, token]) => {
    const { success, data } = tokenSchema.safeParse(token);
    return success ? [{ id: Number(number), sealed: data.sealed }] : [];
  });
}

/**
 * Adds a seal beside the existing ones. It is on the disk when this returns.
 * @returns the number of its token
 * @throws BootwaveError `COMMAND_FAILED`, also when the header has no room
 */
export async function addSeal(device: string, sealed: Sealed, { run, mustRun }: DiskTools): Promise<number> {
  const taken = new Set(tokensOf(await headerOf(device, run)).map(([number]) => Number(number)));
  let id = 0;
  while (taken.has(id) && id < MOST_TOKENS - 1) id += 1;
  await importToken(device, id, sealed, mustRun);
  return id;
}

/** @throws BootwaveError `COMMAND_FAILED` */
export async function dropSeal(device: string, id: number, { mustRun }: DiskTools): Promise<void> {
  await mustRun('cryptsetup', [UNLOCKED, 'token', 'remove', '--token-id', String(id), device], LIMIT);
}

async function importToken(device: string, id: number, sealed: Sealed, mustRun: Runner): Promise<void> {
  const number = ['--token-id', String(id)];
  await mustRun('cryptsetup', [UNLOCKED, 'token', 'import', '--json-file', '-', ...number, device], {
    ...LIMIT,
    input: JSON.stringify({ type: TOKEN_TYPE, keyslots: ['0'], sealed }),
  });
}

/** Its JSON; no text where it cannot be read. */
async function headerOf(device: string, run: Runner): Promise<string> {
  const args = [UNLOCKED, 'luksDump', '--dump-json-metadata', device];
  const { code, stdout } = await run('cryptsetup', args, LIMIT);
  return code === 0 ? stdout : '';
}

function tokensOf(header: string): [string, unknown][] {
  try {
    return Object.entries(headerSchema.parse(JSON.parse(header)).tokens);
  } catch {
    return [];
  }
}

/** Nothing when it is not open. @throws BootwaveError `COMMAND_FAILED`: something in it is in use */
export async function closeLuks({ mustRun }: Pick<DiskTools, 'mustRun'>): Promise<void> {
  if (await exists(MAPPED)) await mustRun('cryptsetup', [UNLOCKED, 'close', MAPPED_NAME], LIMIT);
}

export async function openLuks(device: string, secret: Uint8Array, { mustRun }: DiskTools): Promise<void> {
  await mustRun('cryptsetup', [UNLOCKED, 'open', '--type', 'luks2', '--key-file', '-', device, MAPPED_NAME], {
    ...LIMIT,
    input: secret,
  });
}
