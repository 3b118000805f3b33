/**
 * Processes that outlive the command that started them, and are ended by another. A pid alone may by then be someone
 * else's, so a process is named by pid and start time (proc(5), /proc/pid/stat field 22).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { BootwaveError } from '../base/error.ts';

export type ProcessId = {
  pid: number;
  /** Clock ticks after boot. */
  startTime: string;
};

export type ProcessStat = {
  /** proc(5) field 3: `Z` and `X` are dead. */
  state: string;
  startTime: string;
  /** utime + stime, clock ticks. */
  cpuTicks: number;
};

/** Pure half. The second field may itself hold blanks and parentheses, so counting starts behind the last one. */
export function parseStat(text: string): ProcessStat | undefined {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state, startTime] = [fields[0], fields[19]];
  if (state === undefined || startTime === undefined || !/^\d+$/.test(startTime)) return undefined;
  return { state, startTime, cpuTicks: Number(fields[11]) + Number(fields[12]) };
}

export function statOf(pid: number): ProcessStat | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return undefined;
  }
}

/** The name of a process that runs now. */
export function identify(pid: number): ProcessId | undefined {
  const stat = statOf(pid);
  return stat === undefined ? undefined : { pid, startTime: stat.startTime };
}

export function isAlive(id: ProcessId): boolean {
  const stat = statOf(id.pid);
  return stat !== undefined && stat.startTime === id.startTime && !'ZX'.includes(stat.state);
}

export type Started = { id: ProcessId; child: ChildProcess };

/**
 * Starts a program in a session of its own, so that neither Ctrl-C nor the end of this process reaches it.
 * @param log file that takes its standard output and error, appended
 * @throws BootwaveError `COMMAND_MISSING`
 */
export async function startDetached(
  program: string,
  args: readonly string[],
  log: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<Started> {
  const out = openSync(log, 'a', 0o600);
  try {
    const child = spawn(program, args, { detached: true, stdio: ['ignore', out, out], env });
    try {
      await once(child, 'spawn');
    } catch (cause) {
      throw new BootwaveError({
        code: 'COMMAND_MISSING',
        what: `the program ${program} could not be started`,
        next: `run 'make setup'`,
        cause,
      });
    }
    child.on('error', () => {});
    child.unref();
    const pid = child.pid ?? 0;
    // A child that has ended at once is a zombie until we return, so its line is still there.
    return { child, id: identify(pid) ?? { pid, startTime: 'gone' } };
  } finally {
    closeSync(out);
  }
}

/** Sends a signal to exactly this process, or to the group that it leads if it leads one; false when it is gone. */
export function signalProcess(id: ProcessId, signal: NodeJS.Signals, group = false): boolean {
  if (!isAlive(id)) return false;
  return (group && kill(-id.pid, signal)) || kill(id.pid, signal);
}

function kill(target: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(target, signal);
    return true;
  } catch {
    return false;
  }
}

/** @returns true when the process is gone within `timeout` milliseconds */
export async function waitGone(id: ProcessId, timeout: number): Promise<boolean> {
  const end = performance.now() + timeout;
  for (let pause = 5; isAlive(id); pause = Math.min(pause * 2, 100)) {
    if (performance.now() >= end) return false;
    await sleep(pause);
  }
  return true;
}

/** SIGTERM, then after `grace` milliseconds SIGKILL, to the process and its group. */
export async function stopProcess(id: ProcessId, grace: number): Promise<void> {
  if (signalProcess(id, 'SIGTERM', true) && !(await waitGone(id, grace))) {
    signalProcess(id, 'SIGKILL', true);
    await waitGone(id, 10_000);
  }
}
