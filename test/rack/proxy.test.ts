/**
 * Where another DHCP server gives the addresses: `up --proxy` beside a real dnsmasq that knows nothing of booting.
 * The firmware must find its image and the agent its boot server, each by its own question on the wire.
 */
import test from 'ava';
import { LAB_NETWORK } from '../../lab/namespace.ts';
import { startOtherDhcp } from '../support/other-dhcp.ts';
import type { Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';

const OTHER = `10.77.0.2/${LAB_NETWORK.prefix}`;
const NODES = [
  { name: 'http-node', firmware: 'http' },
  { name: 'pxe-node', firmware: 'pxe' },
] as const;

let rack: Rack;
let gone = async () => {};

rackFor(
  test,
  'proxy',
  NODES,
  async (made) => {
    rack = made;
    gone = await startOtherDhcp(rack.lab, OTHER, '10.77.0.100,10.77.0.200,1h');
    await rack.startServer(['--proxy']);
  },
  { minutes: 30, gone: () => gone() },
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
