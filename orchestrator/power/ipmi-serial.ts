/** Serial over LAN (IPMI 2.0, 15) by `ipmitool`, which keeps its session alive and says when it is over. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type Readable, Transform } from 'node:stream';
import { LEAVE } from '../../base/keyboard.ts';
import { lastWords } from '../../base/run.ts';
import { type Access, bmcError, LIMITS, type SerialLine, silent } from './bmc.ts';
import { wordsIn } from './ipmi-output.ts';
import { argumentsOf, environmentOf, failureOf, toolMissing } from './ipmi-tool.ts';

/** What it says when it is open. The rest is the machine's. */
const OPEN = /^\[SOL Session operational\.[^\n]*\n/;
const ACTIVATE = ['sol', 'activate'];
/** Milliseconds until it has given its session back. */
const CLOSE = 5000;

/** @throws BootwaveError `BMC_*`, `CONSOLE_TAKEN` */
export async function openSerial(access: Access, suite: number, until: AbortSignal): Promise<SerialLine> {
  const { host } = access;
  // At the beginning of a line `ipmitool` takes this key for a command to itself: it gets none.
  const args = [...argumentsOf(access, { suite, wait: 1 }), '-e', String.fromCharCode(LEAVE), ...ACTIVATE];
  // It says that it is open by a line that it keeps until the machine says something, or is told to keep none.
  const child = spawn('stdbuf', ['-oL', 'ipmitool', ...args], {
    env: environmentOf(access.password),
    stdio: 'pipe',
  });
  const said = lastWords(child.stderr);
  const exited = new Promise<number>((resolve, reject) => {
    child.on('error', (cause) => reject(toolMissing(cause))).on('close', (code) => resolve(code ?? 128));
  });
  // Its end is heard below, or nobody needs it.
  exited.catch(() => {});
  child.stdin.on('error', () => {});
  const close = async () => {
    // It gives its session back when nobody types any more; a BMC that is dead has it wait in vain.
    child.stdin.end();
    const timer = setTimeout(() => child.kill('SIGKILL'), CLOSE);
    child.stdout.resume();
    await exited.catch(() => {});
    clearTimeout(timer);
  };
  const late = AbortSignal.any([until, AbortSignal.timeout(LIMITS.question)]);
  try {
    const began = await opened(child.stdout, exited, late);
    if ('line' in began) {
      const type = async (bytes: Uint8Array) => {
        const clean = bytes.filter((byte) => byte !== LEAVE);
        if (!child.stdin.writable || child.stdin.write(clean)) return;
        await Promise.race([once(child.stdin, 'drain'), exited]);
      };
      const ended = exited.then(() => wordsIn(said()) || 'the BMC has ended it');
      return { output: began.line, type, ended, close };
    }
    throw failure(host, began.code, `${began.text}\n${said()}`);
  } catch (error) {
    await close();
    until.throwIfAborted();
    throw late.aborted ? silent(host, error) : error;
  }
}

/** The line once it is open, or what was said instead. */
async function opened(
  stdout: Readable,
  exited: Promise<number>,
  signal: AbortSignal,
): Promise<{ line: Readable } | { code: number; text: string }> {
  let head: Buffer | null = Buffer.alloc(0);
  const open = Promise.withResolvers<true>();
  const line = new Transform({
    transform(bytes: Buffer, _, done) {
      if (head === null) return done(null, bytes);
      head = Buffer.concat([head, bytes]);
      const banner = OPEN.exec(head.toString('latin1'));
      if (banner === null) return done();
      const rest = head.subarray(banner[0].length);
      head = null;
      open.resolve(true);
      done(null, rest.length === 0 ? undefined : rest);
    },
  });
  stdout.pipe(line);
  const gone = once(signal, 'abort').then(() => signal.throwIfAborted());
  const code = await Promise.race([open.promise, exited, gone]);
  if (code === true || code === undefined) return { line };
  return { code, text: head?.toString('latin1') ?? '' };
}

function failure(host: string, code: number, text: string) {
  if (/payload already active/i.test(text))
    return bmcError(
      'CONSOLE_TAKEN',
      `somebody else has the console at the BMC at ${host}`,
      "'--take' ends their session; one whose end the BMC did not see is over within a minute",
    );
  if (/SOL payload (?:disabled|cannot)|Error activating SOL payload/.test(text))
    return bmcError(
      'BMC_LACKS',
      `the BMC at ${host} offers no serial console: ${wordsIn(text)}`,
      'switch Serial over LAN on in its settings',
    );
  return failureOf(host, ACTIVATE, { code, text });
}
