import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { BootwaveError } from './error.ts';

export type RunOptions = {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** Given to the program on standard input; secrets go here, never in the arguments. */
  input?: string | Uint8Array;
  signal?: AbortSignal;
  /** Milliseconds after which the program is killed; none by default. */
  timeout?: number;
  /** Characters at the end of what it prints that are kept; all by default. */
  keep?: number;
  /** Called with each piece of output as it comes, for progress. */
  onOutput?: (text: string) => void;
};

export type RunResult = { code: number; stdout: string; stderr: string };

/** Runs a program to its end and hands back what it printed; a non-zero exit is returned, not thrown. */
export function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      ...(options.timeout === undefined ? {} : { timeout: options.timeout, killSignal: 'SIGKILL' }),
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout = tail(stdout + text, options.keep);
      options.onOutput?.(text);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr = tail(stderr + text, options.keep);
      options.onOutput?.(text);
    });
    child.on('error', reject);
    child.on('close', (code, signal) => {
      resolve({
        code: code ?? 128,
        stdout,
        stderr: signal === null ? stderr : `${stderr}\nkilled by ${signal}`,
      });
    });
    // A program that ends before it has read its input closes the pipe; its exit code tells the story.
    child.stdin.on('error', () => {});
    child.stdin.end(options.input ?? '');
  });
}

/** The end of what a program says on `stream`. @param keep characters @returns tells it */
export function lastWords(stream: Readable, keep = 2000): () => string {
  let words = '';
  stream.setEncoding('utf8').on('data', (text: string) => {
    words = tail(words + text, keep);
  });
  return () => words;
}

const tail = (text: string, keep?: number) => (keep === undefined ? text : text.slice(-keep));

/** @param cause ENOENT of its start */
export const commandMissing = (program: string, cause: unknown): BootwaveError =>
  new BootwaveError({
    code: 'COMMAND_MISSING',
    what: `the program ${program} is not installed`,
    next: `run 'make setup'`,
    cause,
  });

/** As `run`, but throws `COMMAND_FAILED` with the program's last words when it exits non-zero or is missing. */
export async function mustRun(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  let result: RunResult;
  try {
    result = await run(program, args, options);
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'ENOENT' ? commandMissing(program, error) : error;
  }
  if (result.code !== 0) {
    const words = (result.stderr.trim() || result.stdout.trim()).split('\n').slice(-6).join('\n');
    throw new BootwaveError({
      code: 'COMMAND_FAILED',
      what: `${program} ended with exit code ${result.code}: ${words}`,
    });
  }
  return result;
}
