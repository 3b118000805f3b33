import { BootwaveError } from '../../base/error.ts';
import { run } from '../../base/run.ts';
import { interfaceAddress } from '../../bootserver/interface.ts';
import { type Check, fail, ok, warn } from './check.ts';

export type InterfaceFinding = {
  check: Check;
  /** Dotted quad; undefined when the interface cannot be served. */
  address?: string;
  /** Whether anything on the wire can be asked. */
  link: boolean;
};

/** Existence, an IPv4 address and a link: the three things that a boot server needs of its wire. */
export async function checkInterface(name: string, wanted?: string): Promise<InterfaceFinding> {
  const title = `interface ${name}`;
  try {
    const { address, netmask } = await interfaceAddress(name, wanted);
    const shown = await run('ip', ['-j', 'link', 'show', 'dev', name]);
    const [link] = JSON.parse(shown.stdout || '[]') as { flags?: string[] }[];
    if (link?.flags?.includes('LOWER_UP') === true) {
      return { check: ok(title, `${address}, netmask ${netmask}, link is up`), address, link: true };
    }
    const check = link?.flags?.includes('UP')
      ? warn(title, `${address}, but no link`, 'check the cable and the switch port')
      : fail(title, `${address}, but it is switched off`, `ip link set ${name} up`);
    return { check, address, link: false };
  } catch (error) {
    if (!(error instanceof BootwaveError)) throw error;
    return { check: fail(title, error.what, error.next ?? ''), link: false };
  }
}
