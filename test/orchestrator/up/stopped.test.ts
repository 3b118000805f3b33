/**
 * A signal while `bootwave up` starts: whatever it waits for at that moment, it ends with its error and leaves no port. Each stage is
 * held by something that never answers, so that the signal comes in the middle of it. All at once: each ends after seconds of waiting.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readdir, readlink, realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import type { DataPaths } from '../../../base/paths.ts';
import { mustRun } from '../../../base/run.ts';
import { keyLayout } from '../../../keys/layout.ts';
import { FileLock } from '../../../orchestrator/redis/lock.ts';
import { redisFiles } from '../../../orchestrator/redis/settings.ts';
import { type TwoWires, twoWires } from '../../bootserver/sockets-netns.ts';
import { copyOf, makeInstallation, removeInstallation } from '../doctor/installation.ts';

const BOOTWAVE = fileURLToPath(new URL('../../../bin/bootwave', import.meta.url));
const RANGE = ['--interface', 'boot0', '--range', '10.91.0.100-10.91.0.110'];
/** Milliseconds until a start that does not end at all is killed, so that the test fails and does not hang. */
const HANGS = 240_000;

let shared: DataPaths;
test.before(async () => {
  shared = await makeInstallation();
});
test.after.always(() => removeInstallation(shared));

async function ports(wires: TwoWires, ...which: string[]): Promise<string> {
  const { stdout } = await mustRun('ip', ['netns', 'exec', wires.server, 'ss', '-Hlntu', ...which]);
  return stdout.trim();
}

/** Reading from it waits for ever. @returns resolves when somebody reads, and keeps them waiting until the test ends */
async function neverAnswers(t: ExecutionContext, path: string): Promise<() => Promise<void>> {
  await rm(path, { force: true });
  await mustRun('mkfifo', [path]);
  return async () => {
    const writer = await open(path, 'w');
    t.teardown(() => writer.close());
  };
}

/** Whether the process has this file open. */
async function hasOpen(pid: number, path: string): Promise<boolean> {
  const whole = await realpath(path);
  const folder = `/proc/${pid}/fd`;
  for (const fd of await readdir(folder).catch(() => []))
    if ((await readlink(join(folder, fd)).catch(() => '')) === whole) return true;
  return false;
}

type Held = (pid: number, wires: TwoWires) => Promise<void>;

/** By what the start waits for: makes it wait, and tells when it does. */
const STAGES: Record<string, (t: ExecutionContext, paths: DataPaths) => Promise<Held>> = {
  'the keys are read': async (t, { keys }) => neverAnswers(t, keyLayout(keys).ca.root.certificate),
  'another server has the data directory': async (t, { bootserver }) => {
    await mustRun('mkdir', ['-p', bootserver]);
    const lock = await FileLock.open(join(bootserver, 'lock'));
    t.true(await lock.exclusiveNow());
    t.teardown(() => lock.close());
    return async (pid) => {
      while (!(await hasOpen(pid, join(bootserver, 'lock')))) await sleep(20);
    };
  },
  'the wire is asked for other DHCP servers': async () => async (_, wires) => {
    while ((await ports(wires, 'sport = :68')) === '') await sleep(20);
  },
  'the embedded Redis is being stopped by another process': async (t, { redis }) => {
    await mustRun('mkdir', ['-p', redis]);
    const { usersLock } = redisFiles(redis);
    const lock = await FileLock.open(usersLock);
    t.true(await lock.exclusiveNow());
    t.teardown(() => lock.close());
    return async (pid) => {
      while (!(await hasOpen(pid, usersLock))) await sleep(20);
    };
  },
  'the log of decisions is read': async (t, paths) => neverAnswers(t, join(paths.root, 'bans.log')),
  'the leases are read, with ports open': async (t, { bootserver }) => {
    await mustRun('mkdir', ['-p', bootserver]);
    return neverAnswers(t, join(bootserver, 'leases'));
  },
  'the signer reads its key, with all ports open': async (t, { keys }) =>
    neverAnswers(t, keyLayout(keys).order.key),
};

for (const [n, [stage, hold]] of Object.entries(STAGES).entries()) {
  const signal = n % 2 === 0 ? 'SIGTERM' : 'SIGINT';
  test(`${signal} while ${stage}`, async (t) => {
    const wires = await twoWires(t);
    const paths = await copyOf(t, shared);
    await mustRun('mkdir', ['-p', paths.redis]);
    const held = await hold(t, paths);
    const child = spawn(
      'ip',
      ['netns', 'exec', wires.server, BOOTWAVE, '--data', paths.root, 'up', ...RANGE],
      {
        env: { ...process.env, BOOTWAVE_REDIS_URL: '', BOOTWAVE_LOG: 'warn' },
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    const exited = once(child, 'exit');
    let isLate = false;
    const late = setTimeout(() => {
      isLate = true;
      child.kill('SIGKILL');
    }, HANGS);
    const isHeld = await Promise.race([held(child.pid!, wires).then(() => true), exited.then(() => false)]);
    t.true(isHeld, `it ended by itself: ${said}`);
    child.kill(signal);
    const [code] = await exited;
    clearTimeout(late);
    t.false(isLate, 'it did not end');
    t.not(code, 0);
    t.regex(said, /\[UP_\w+\]/);
    t.is(await ports(wires), '');
    const redis = await FileLock.open(redisFiles(paths.redis).serverLock);
    t.true(await redis.exclusive(10), 'the Redis that it began is not left');
    await redis.close();
  });
}
