import { run } from '../../base/run.ts';
import { type Check, fail } from './check.ts';

/** What the running server reports about interfaces on which it receives nothing; empty if none runs. */
export type AskDeaf = () => Promise<readonly { interface: string; why: string }[]>;

const NAME = 'hearing';

/**
 * A server that runs but receives nothing: ours, if its interface is gone; any other, if its socket on the DHCP port is
 * bound to an interface that no longer exists.
 * @returns undefined: there is none
 */
export async function checkHearing(deaf: AskDeaf, device: string): Promise<Check | undefined> {
  const ours = (await deaf()).find((one) => one.interface === device);
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
