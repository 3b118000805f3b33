/**
 * Where another DHCP server gives the addresses: `up --proxy` beside a real dnsmasq that knows nothing of booting.
 * The firmware must find its image and the agent its boot server, each by its own question on the wire.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import test from 'ava';
import { mustRun, run } from '../../base/run.ts';
import { LAB_NETWORK } from '../../lab/namespace.ts';
import type { Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';

const OTHER = '10.77.0.2';
const NODES = [
  { name: 'http-node', firmware: 'http' },
  { name: 'pxe-node', firmware: 'pxe' },
] as const;

let rack: Rack;
let dnsmasq: ChildProcess | undefined;
const namespace = `bw-other-dhcp-${process.pid}`;

rackFor(
  test,
  'proxy',
  NODES,
  async (made) => {
    rack = made;
    // A machine of its own on the same wire: two DHCP servers cannot share a port 67.
    await mustRun('ip', ['netns', 'add', namespace]);
    const on = (name: string, ...words: string[]) => mustRun('ip', ['-n', name, ...words]);
    await on(rack.lab.namespace, 'link', 'add', 'other0', 'type', 'veth', 'peer', 'name', 'other1');
    await on(rack.lab.namespace, 'link', 'set', 'other1', 'netns', namespace);
    await on(rack.lab.namespace, 'link', 'set', 'other0', 'master', LAB_NETWORK.bridge, 'up');
    await on(namespace, 'addr', 'add', `${OTHER}/${LAB_NETWORK.prefix}`, 'dev', 'other1');
    await on(namespace, 'link', 'set', 'other1', 'up');
    dnsmasq = spawn('ip', [
      ...['netns', 'exec', namespace, 'dnsmasq', '--no-daemon', '--conf-file=/dev/null', '--port=0'],
      ...[
        '--interface=other1',
        '--bind-interfaces',
        '--dhcp-range=10.77.0.100,10.77.0.200,1h',
        '--leasefile-ro',
      ],
    ]);
    await rack.startServer(['--proxy']);
  },
  {
    minutes: 30,
    gone: async () => {
      if (dnsmasq?.exitCode === null) {
        const gone = once(dnsmasq, 'exit');
        dnsmasq.kill();
        await gone;
      }
      await run('ip', ['netns', 'del', namespace]);
    },
  },
);

for (const { name, firmware } of NODES) {
  test.serial(
    `${firmware}: boots, finds its boot server and becomes healthy beside another DHCP server`,
    async (t) => {
      try {
        await rack.lab.powerOn(name);
        const console = await rack.lab.console(name);
        const words = await rack.words(console);
        const pending = await rack.until(name, (node) => node.state === 'pending');
        t.deepEqual(pending.words, words);
        t.is(pending.observed.secureBoot, 'on');
        await rack.fleet((fleet) => fleet.approve(pending.id, words, { actor: 'test', at: Date.now() }));
        await rack.until(name, (node) => node.state === 'healthy');
      } catch (error) {
        await rack.explain(t);
        throw error;
      }
      await rack.lab.powerOff(name);
    },
  );
}
