import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mustRun, run } from '../../base/run.ts';
import type { Lab } from '../../lab/lab.ts';
import { LAB_NETWORK } from '../../lab/namespace.ts';

/**
 * A real dnsmasq on the lab's wire that knows nothing of booting. It is a machine of its own: two DHCP servers cannot share a
 * port 67.
 * @param address with its prefix length
 * @param range what it gives, as `--dhcp-range` says it
 * @returns what takes it away
 */
export async function startOtherDhcp(lab: Lab, address: string, range: string): Promise<() => Promise<void>> {
  const namespace = `bw-other-dhcp-${process.pid}`;
  const on = (name: string, ...words: string[]) => mustRun('ip', ['-n', name, ...words]);
  await mustRun('ip', ['netns', 'add', namespace]);
  await on(lab.namespace, 'link', 'add', 'other0', 'type', 'veth', 'peer', 'name', 'other1');
  await on(lab.namespace, 'link', 'set', 'other1', 'netns', namespace);
  await on(lab.namespace, 'link', 'set', 'other0', 'master', LAB_NETWORK.bridge, 'up');
  await on(namespace, 'addr', 'add', address, 'dev', 'other1');
  await on(namespace, 'link', 'set', 'other1', 'up');
  const dnsmasq = spawn('ip', [
    ...['netns', 'exec', namespace, 'dnsmasq', '--no-daemon', '--conf-file=/dev/null', '--port=0'],
    ...['--interface=other1', '--bind-interfaces', `--dhcp-range=${range}`, '--leasefile-ro'],
  ]);
  return async () => {
    if (dnsmasq.exitCode === null) {
      const gone = once(dnsmasq, 'exit');
      dnsmasq.kill();
      await gone;
    }
    await run('ip', ['netns', 'del', namespace]);
  };
}
