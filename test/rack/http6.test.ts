/**
 * UEFI HTTP Boot over IPv6 on real firmware: with an address of ours, and with one of a dnsmasq that knows nothing of
 * booting. No router is there. The image that was fetched goes on over IPv4.
 */

import test from 'ava';
import { addressOf, prefixOf } from '../../bootserver/dhcp6/prefix.ts';
import { formatIp6 } from '../../formats/dhcp6/ip6.ts';
import { bootServerLog, stopBootServer } from '../../lab/boot-server.ts';
import { LAB_NETWORK } from '../../lab/namespace.ts';
import { startOtherDhcp } from '../support/other-dhcp.ts';
import type { Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';

const NODE = 'http6-node';

let rack: Rack;
let gone = async () => {};

rackFor(
  test,
  'http6',
  [{ name: NODE, firmware: 'http6' }],
  async (made) => {
    rack = made;
    await rack.startServer(['--ipv6', LAB_NETWORK.prefix6]);
  },
  { minutes: 30, gone: () => gone() },
);

const mac = () => rack.lab.nodes[0]!.mac;
const url = () => `http://[${LAB_NETWORK.address6}]:7080/m/${mac().replaceAll(':', '-')}/`;

/** The IPv6 addresses that fetched an image since `from` characters of the server's log. */
async function fetchedBy(from: number): Promise<string[]> {
  const lines = (await bootServerLog(rack.lab)).slice(from).split('\n');
  const events = lines.flatMap((line) =>
    line.includes('HTTP_IMAGE_SENT') ? [JSON.parse(line) as { from: string; mac: string }] : [],
  );
  return events.filter((one) => one.mac === mac()).map((one) => one.from);
}

test.serial(
  'an address of the prefix, the image over IPv6, the same machine as over IPv4, healthy',
  async (t) => {
    await rack.lab.powerOn(NODE);
    const words = await rack.words(await rack.lab.console(NODE));
    const pending = await rack.until(NODE, (node) => node.state === 'pending');
    t.deepEqual(pending.words, words);
    t.is(pending.observed.secureBoot, 'on', 'its second start, with Secure Boot, came over IPv6, too');
    const ours = formatIp6(addressOf(prefixOf(LAB_NETWORK.prefix6)!, mac()));
    const fetched = await fetchedBy(0);
    t.true(fetched.length >= 2);
    t.deepEqual([...new Set(fetched)], [ours]);
    const boots = await rack.fleet((fleet) => fleet.machines.boots(mac()));
    const offered = boots.filter((event) => event.step === 'dhcp-offered' && event.arch === 'uefi-x64-http');
    t.true(offered.every((event) => event.detail?.startsWith(url()) === true));
    t.is(offered[0]?.uuid, rack.lab.nodes[0]!.uuid);
    await rack.fleet((fleet) => fleet.approve(pending.id, words, { actor: 'test', at: Date.now() }));
    await rack.until(NODE, (node) => node.state === 'healthy');
  },
);

test.serial('beside another DHCPv6 server: its address, our URL', async (t) => {
  await stopBootServer(rack.lab);
  gone = await startOtherDhcp(rack.lab, 'fd00:77::2/64', 'fd00:77::1000,fd00:77::1fff,64,1h');
  const from = (await bootServerLog(rack.lab)).length;
  await rack.startServer(['--ipv6', 'proxy']);
  const before = await rack.record(NODE);
  await rack.lab.cycle(NODE);
  const after = await rack.until(
    NODE,
    (node) => node.state === 'healthy' && node.observed.bootId !== before.observed.bootId,
  );
  t.is(after.id, before.id);
  const fetched = await fetchedBy(from);
  t.true(fetched.length >= 1);
  for (const address of fetched) t.regex(address, /^fd00:77::1[0-9a-f]{3}$/);
});
