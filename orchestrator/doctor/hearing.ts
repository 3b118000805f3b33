import type { DataPaths } from '../../base/paths.ts';
import { run } from '../../base/run.ts';
import { askServer } from '../up/control.ts';
import { type Check, fail } from './check.ts';

const NAME = 'hearing';

/**
 * A server that lives and hears nothing: of ours, one whose interface went away; of any, a socket on the DHCP port that
 * is bound to an interface that no longer exists.
 * @returns undefined: there is none
 */
export async function checkHearing(paths: DataPaths, device: string): Promise<Check | undefined> {
  const deaf = (await askServer(paths, 'GET', '/deaf').catch(() => [])) as {
    interface: string;
    why: string;
  }[];
  const ours = deaf.find((one) => one.interface === device);
  if (ours !== undefined) {
    const next = `it serves ${device} again by itself once 'ip -br addr show dev ${device}' shows its address`;
    return fail(NAME, `the boot server runs and hears nothing on ${device}: ${ours.why}`, next);
  }
  const { stdout } = await run('ss', ['-Hlunp', 'sport = :67']).catch(() => ({ stdout: '' }));
  const [stranger] = deafSockets(stdout);
  return stranger === undefined
    ? undefined
    : fail(NAME, `${stranger} listens for DHCP on an interface that no longer exists`, 'restart it');
}

/** Programs in the output of `ss -lunp` whose sockets are bound to an interface without a name. Pure. */
export function deafSockets(text: string): string[] {
  return text.split('\n').flatMap((line) => {
    if (!/\s\S+%if\d+:67\s/.test(line)) return [];
    const [, program = 'a program', pid = ''] = /users:\(\("([^"]+)",pid=(\d+)/.exec(line) ?? [];
    return [pid === '' ? program : `${program} (pid ${pid})`];
  });
}
