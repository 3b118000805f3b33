import { readFileSync } from 'node:fs';

/** Milliseconds: USER_HZ is 100 on every Linux that Node runs on. */
const TICK = 10;

/** Milliseconds of CPU of this process's children that have ended (proc(5), `cutime` and `cstime` of /proc/self/stat). */
export function cpuOfChildren(): number {
  const fields = readFileSync('/proc/self/stat', 'latin1').split(') ')[1]!.split(' ');
  return (Number(fields[13]) + Number(fields[14])) * TICK;
}

/** Milliseconds of CPU of a process that runs (`utime` and `stime`). */
export function cpuOfProcess(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK;
}
