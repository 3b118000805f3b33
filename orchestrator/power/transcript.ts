/**
 * What a console showed, on the server's disk: asciicast v2, which `asciinema play` shows again. What was typed is only counted:
 * machines do not show passwords, and no transcript may.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { refusal } from '../../base/error.ts';

/** Bytes of one, and of all that are kept: the oldest make room. */
const MOST = { one: 16 * 1024 * 1024, all: 1024 * 1024 * 1024 } as const;

export type Transcript = {
  name: string;
  /** Resolves when it is written. @throws BootwaveError `CONSOLE_FULL` */
  add(bytes: Uint8Array): Promise<void>;
  /** @returns SHA-256 of the file, hex */
  end(): Promise<string>;
};

/** @param at milliseconds since the epoch */
export async function beginTranscript(
  folder: string,
  { title, at }: { title: string; at: number },
  most: { one: number; all: number } = MOST,
): Promise<Transcript> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await makeRoom(folder, most.all - most.one);
  const name = `${new Date(at).toISOString().replaceAll(/[:.]/g, '-')}-${randomUUID().slice(0, 8)}.cast`;
  const file = await open(join(folder, name), 'ax', 0o600);
  const hash = createHash('sha256');
  const text = new StringDecoder('utf8');
  const began = performance.now();
  let size = 0;
  const line = async (value: unknown) => {
    const bytes = Buffer.from(`${JSON.stringify(value)}\n`);
    if (size + bytes.length > most.one)
      throw refusal(
        'CONSOLE_FULL',
        `the transcript of this session has its ${most.one} bytes`,
        'open the console again: that is another transcript',
      );
    size += bytes.length;
    await file.appendFile(bytes);
    hash.update(bytes);
  };
  await line({ version: 2, width: 80, height: 24, timestamp: Math.floor(at / 1000), title });
  return {
    name,
    add: (bytes) => line([(performance.now() - began) / 1000, 'o', text.write(Buffer.from(bytes))]),
    async end() {
      await file.sync();
      await file.close();
      return hash.digest('hex');
    },
  };
}

async function makeRoom(folder: string, most: number): Promise<void> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.cast')).sort();
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).size));
  let total = sizes.reduce((sum, size) => sum + size, 0);
  for (const [i, name] of names.entries()) {
    if (total <= most) return;
    await rm(join(folder, name), { force: true });
    total -= sizes[i] ?? 0;
  }
}
