/** The unit in which a command runs inside an instance, and how systemd says that it ended. Pure. */
import type { ExecEnd } from '../../../../../protocol/agent/exec.ts';
import { EXEC_LIMITS } from '../../../../../protocol/link/exec.ts';
import { besideText } from '../units.ts';

/** @param nonce of its grant */
export const execUnit = (nonce: string): string => `bootwave-exec-${nonce.slice(0, 32)}.service`;

/** Of the program that asks for it, as systemd names it (Accept=yes). */
const ASKER = /^bootwave-exec@[\w:.-]{1,128}\.service$/;

/** @param folder with process.json, and the sockets to which systemd connects its standard streams (systemd.exec(5), `file:`) */
export function execText(
  { id, slice, asker, folder }: { id: string; slice: string | null; asker: string; folder: string },
  limits: { memory: number; cpu: number },
): string {
  if (!ASKER.test(asker)) throw new RangeError(`no unit of this program: ${asker}`);
  return besideText(
    {
      description: `Command in service ${id}`,
      // Whatever ends who asked, ends it.
      unit: [`BindsTo=${asker}`, `After=${asker}`],
      process: `${folder}/process.json`,
      seconds: EXEC_LIMITS.runs / 1000,
      streams: (['in', 'out', 'err'] as const).map((name) => `file:${folder}/${name}`),
    },
    id,
    limits,
    slice,
  );
}

/** `systemctl show --property=` */
export const END_PROPERTIES = ['Result', 'ExecMainCode', 'ExecMainStatus'] as const;

/** @param text of `systemctl show`, of a unit that has failed */
export function endOf(text: string): ExecEnd {
  const fact = (name: string) => new RegExp(`^${name}=(.*)$`, 'm').exec(text)?.[1] ?? '';
  const result = fact('Result');
  const status = Math.min(Number(fact('ExecMainStatus')) || 0, 127);
  // CLD_EXITED (waitid(2)).
  if (result === 'exit-code' && fact('ExecMainCode') === '1')
    return { exit: Math.min(Number(fact('ExecMainStatus')) || 0, 255), why: '' };
  if (result === 'timeout') return { exit: 124, why: `it ran for ${EXEC_LIMITS.runs / 60_000} min` };
  if (result === 'oom-kill') return { exit: 137, why: 'it took more memory than it may' };
  return {
    exit: 128 + status,
    why: status === 0 ? 'the node could not run it' : `signal ${status} ended it`,
  };
}
