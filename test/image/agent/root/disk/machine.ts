/**
 * A machine with disks whose power can be cut: Linux as a process (Debian's user-mode-linux). Its file systems are the
 * real ones, vfat and ext4; what it has not written yet is lost when it is killed, as with a real machine. It sees this
 * computer's files read-only, and its disks are files.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { mustRun } from '../../../../../base/run.ts';

const KERNEL = '/usr/bin/linux.uml';
export const MODULES = '/usr/lib/uml/modules';
const FILE_SYSTEMS = ['nls/nls_cp437', 'nls/nls_iso8859-1', 'fat/fat', 'fat/vfat'];
/** Lines of the program inside; everything else on the console is the kernel's. */
const MARK = '@@ ';

export type Machine = {
  /** What the program inside said so far, parsed. */
  readonly said: unknown[];
  /** Called with each thing that it says. */
  onSaid: (said: unknown) => void;
  /** Stands still between two instructions. */
  freeze(): void;
  thaw(): void;
  /** Loses everything that is not on its disks. */
  cut(): Promise<void>;
  /** Ends when the program inside has ended. @throws Error with the console's end when it failed */
  over: Promise<void>;
};

/**
 * @param folder for its few files; removed by the caller
 * @param program TypeScript, run by this Node inside the machine
 * @param disks files, `/dev/ubda` and so on
 * @param drivers more of this kernel's modules, with their parameters: `drivers/scsi/sd_mod`
 */
export async function powerOn(
  folder: string,
  program: string,
  args: readonly string[],
  disks: readonly string[],
  drivers: readonly string[] = [],
): Promise<Machine> {
  const [release] = await readdir(MODULES);
  const preload = join(folder, 'xstate.so');
  await mustRun('gcc', ['-shared', '-fPIC', '-O1', '-o', preload, join(import.meta.dirname, 'xstate.c')]);
  const init = join(folder, 'init');
  const modules = [...FILE_SYSTEMS.map((name) => `fs/${name}`), ...drivers].map((module) => {
    const [name, ...parameters] = module.split(' ');
    return ['insmod', `${MODULES}/${release}/kernel/${name}.ko`, ...parameters].join(' ');
  });
  const script = [
    '#!/bin/sh',
    'export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run TMPDIR=/run BLKID_FILE=/run/blkid',
    'mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs run /run; mount -t tmpfs mnt /mnt',
    ...modules,
    `${process.execPath} ${[program, ...args].join(' ')} </dev/null 2>&1`,
    `echo "${MARK}{\\"exit\\":$?}"`,
    'echo o >/proc/sysrq-trigger; sleep 60',
    '',
  ].join('\n');
  await writeFile(init, script, { mode: 0o755 });
  const ubd = disks.map((path, i) => `ubd${i}=${path}`);
  const child: ChildProcess = spawn(
    KERNEL,
    [
      'mem=512M',
      'root=none',
      'rootfstype=hostfs',
      'rootflags=/',
      'ro',
      'quiet',
      `init=${init}`,
      'con=null',
      'con0=null,fd:1',
      ...ubd,
    ],
    {
      env: { ...process.env, LD_PRELOAD: preload, TMPDIR: folder },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    },
  );
  const group = -child.pid!;
  const signal = (name: NodeJS.Signals) => {
    try {
      process.kill(group, name);
    } catch {}
  };
  const ended = once(child, 'close');
  const console: string[] = [];
  let exit: number | undefined;
  const machine: Machine = {
    said: [],
    onSaid: () => {},
    freeze() {
      for (const pid of kernelThreads(child.pid!)) process.kill(pid, 'SIGSTOP');
    },
    thaw() {
      for (const pid of kernelThreads(child.pid!)) process.kill(pid, 'SIGCONT');
    },
    async cut() {
      signal('SIGKILL');
      await ended;
    },
    over: ended.then(() => {
      if (exit !== 0)
        throw new Error(
          `the program in the machine failed (${exit}):\n${JSON.stringify(machine.said)}\n${console.slice(-40).join('\n')}`,
        );
    }),
  };
  machine.over.catch(() => {});
  createInterface(child.stdout!).on('line', (line) => {
    const at = line.indexOf(MARK);
    if (at < 0) {
      console.push(line);
      return;
    }
    const said = JSON.parse(line.slice(at + MARK.length)) as { exit?: number };
    if (said.exit !== undefined) {
      exit = said.exit;
      return;
    }
    machine.said.push(said);
    machine.onSaid(said);
  });
  return machine;
}

/** Those that run the kernel and write to the disks. The traced ones are its processes, which a signal would disturb. */
function kernelThreads(main: number): number[] {
  const children = readFileSync(`/proc/${main}/task/${main}/children`, 'utf8').trim().split(' ');
  const untraced = children
    .filter((pid) => pid !== '' && readFileSync(`/proc/${pid}/status`, 'utf8').includes('TracerPid:\t0\n'))
    .map(Number);
  return [main, ...untraced];
}

/** Inside the machine: tells the test something. */
export function say(what: unknown): void {
  process.stdout.write(`\n${MARK}${JSON.stringify(what)}\n`);
}
