import * as z from 'zod/mini';
import type { RunOptions, RunResult } from '../../../base/run.ts';
import { type Sealed, sealedSchema } from './seal.ts';

export const MAPPED_NAME = 'bootwave-state';
export const MAPPED = `/dev/mapper/${MAPPED_NAME}`;

/** Of our own; cryptsetup keeps what it does not know as it is (LUKS2 on-disk format, 3.5). */
const TOKEN_TYPE = 'bootwave-tpm2';
const tokenSchema = z.object({ type: z.literal(TOKEN_TYPE), sealed: sealedSchema });

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
  const cipher = ['--cipher', 'aes-xts-plain64', '--key-size', '512'];
  const derivation = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];
  await mustRun('cryptsetup', [UNLOCKED, ...format, ...cipher, ...derivation, device], {
    ...LIMIT,
    input: secret,
  });
  const token = JSON.stringify({ type: TOKEN_TYPE, keyslots: ['0'], sealed });
  await mustRun('cryptsetup', [UNLOCKED, 'token', 'import', '--json-file', '-', '--token-id', '0', device], {
    ...LIMIT,
    input: token,
  });
}

/** @returns null where the header holds none that can be understood */
export async function sealedOf(device: string, { run }: DiskTools): Promise<Sealed | null> {
  const args = [UNLOCKED, 'token', 'export', '--token-id', '0', device];
  const { code, stdout } = await run('cryptsetup', args, LIMIT);
  if (code !== 0) return null;
  try {
    return tokenSchema.parse(JSON.parse(stdout)).sealed;
  } catch {
    return null;
  }
}

export async function openLuks(device: string, secret: Uint8Array, { mustRun }: DiskTools): Promise<void> {
  await mustRun('cryptsetup', [UNLOCKED, 'open', '--type', 'luks2', '--key-file', '-', device, MAPPED_NAME], {
    ...LIMIT,
    input: secret,
  });
}
