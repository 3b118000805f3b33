import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { ExecutionContext } from 'ava';
import { mustRun, run } from '../../base/run.ts';

/** A server with two interfaces, and a machine behind each: `inside` is the boot network, `outside` is not. */
export type TwoWires = {
  /** Name of the server's namespace; its interfaces are `boot0` (10.91.0.1) and `other0` (10.92.0.1). */
  server: string;
  /** Its interface is `eth0`, without an address (a booting machine has none) and with a route to everywhere. */
  inside: string;
  /** Its interface is `eth0`, 10.92.0.2, with the server as its router. */
  outside: string;
};

let made = 0;

/** Makes three namespaces that share nothing with the host, removed when the test ends. */
export async function twoWires(t: ExecutionContext): Promise<TwoWires> {
  await sweep();
  made += 1;
  const name = (what: string) => `bwt${process.pid}-${made}-${what}`;
  const wires = { server: name('s'), inside: name('i'), outside: name('o') };
  t.teardown(async () => {
    for (const one of Object.values(wires)) await run('ip', ['netns', 'del', one]);
  });
  const ip = (...args: string[]) => mustRun('ip', args);
  for (const one of Object.values(wires)) {
    await ip('netns', 'add', one);
    await ip('-n', one, 'link', 'set', 'lo', 'up');
  }
  const { server, inside, outside } = wires;
  for (const [link, peer] of [
    ['boot0', inside],
    ['other0', outside],
  ] as const) {
    await ip('-n', server, 'link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', peer);
    await ip('-n', server, 'link', 'set', link, 'up');
    await ip('-n', peer, 'link', 'set', 'eth0', 'up');
  }
  await ip('-n', server, 'addr', 'add', '10.91.0.1/24', 'dev', 'boot0');
  await ip('-n', server, 'addr', 'add', '10.92.0.1/24', 'dev', 'other0');
  await ip('-n', outside, 'addr', 'add', '10.92.0.2/24', 'dev', 'eth0');
  await ip('-n', outside, 'route', 'add', 'default', 'via', '10.92.0.1');
  await ip('-n', inside, 'route', 'add', 'default', 'dev', 'eth0');
  return wires;
}

/** What a test run that was killed has left behind: its process is gone, its namespaces are not. */
async function sweep(): Promise<void> {
  for (const [name, pid] of (await run('ip', ['netns'])).stdout.matchAll(/^bwt(\d+)-\S+/gm)) {
    if (!existsSync(`/proc/${pid}`)) await run('ip', ['netns', 'del', name]);
  }
}

/** A program of this project that runs in a namespace and talks in JSON lines. */
export class Inside {
  readonly child: ChildProcess;
  readonly #lines: unknown[] = [];
  readonly #waiting: ((line: unknown) => void)[] = [];
  readonly #closed: Promise<unknown>;

  /** @param shell runs first, e.g. a mount: `ip netns exec` gives it mounts of its own, which end with it */
  constructor(
    t: ExecutionContext,
    namespace: string,
    program: string,
    args: readonly string[],
    shell = 'true',
  ) {
    const path = fileURLToPath(new URL(program, import.meta.url));
    this.child = spawn(
      'ip',
      ['netns', 'exec', namespace, 'sh', '-c', `${shell} && exec "$0" "$@"`, process.execPath, path, ...args],
      {
        stdio: ['pipe', 'pipe', 'inherit'],
      },
    );
    this.#closed = once(this.child, 'close');
    let rest = '';
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      const pieces = (rest + text).split('\n');
      rest = pieces.pop()!;
      for (const piece of pieces) this.#take(JSON.parse(piece));
    });
    t.teardown(() => this.end('SIGKILL'));
  }

  /** The next line it prints; undefined once it has ended. */
  async next(): Promise<unknown> {
    if (this.#lines.length > 0) return this.#lines.shift();
    const line = new Promise<unknown>((resolve) => this.#waiting.push(resolve));
    return Promise.race([line, this.#closed.then(() => this.#lines.shift())]);
  }

  say(line: unknown): void {
    this.child.stdin!.write(`${JSON.stringify(line)}\n`);
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill(signal);
    await this.#closed;
  }

  #take(line: unknown): void {
    const waiter = this.#waiting.shift();
    if (waiter === undefined) this.#lines.push(line);
    else waiter(line);
  }
}

/** A program in a namespace, ended with the test; resolves when it has printed a line that says that it is ready. */
export async function startIn(
  t: ExecutionContext,
  namespace: string,
  ready: RegExp,
  program: string,
  args: readonly string[],
): Promise<string[] & { child: ChildProcess; closed: Promise<unknown> }> {
  const child = spawn('ip', ['netns', 'exec', namespace, program, ...args], {
    env: { ...process.env, BOOTWAVE_REDIS_URL: '', BOOTWAVE_LOG: 'warn' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const closed = once(child, 'close');
  t.teardown(async () => {
    child.kill('SIGTERM');
    await closed;
  });
  const words: string[] = [];
  await new Promise<void>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        words.push(line);
        if (ready.test(line)) resolve();
      });
    }
    closed.then(() => reject(new Error(`${program} ended: ${words.join('\n')}`)));
  });
  return Object.assign(words, { child, closed });
}
