/** Real firmware on the lab's wire: what each node asks its boot server, as dnsmasq logged it. */

import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { createLab } from '../../lab/create.ts';
import type { Lab } from '../../lab/lab.ts';
import { LAB_NETWORK } from '../../lab/namespace.ts';
import { until } from '../support/until.ts';

type Asked = { vendorClass: string; userClass: string };

/** dnsmasq writes one line per fact, each behind the transaction id. */
function requestsOf(log: string, mac: string): Asked[] {
  const open = new Map<string, Asked>();
  const asked: Asked[] = [];
  for (const [, xid = '', rest = ''] of log.matchAll(/dnsmasq-dhcp: (\d+) (.*)/g)) {
    const request = open.get(xid) ?? { vendorClass: '', userClass: '' };
    const [key, value] = rest.split(': ');
    if (key === 'vendor class') request.vendorClass = value ?? '';
    else if (key === 'user class') request.userClass = value ?? '';
    else if (rest.startsWith(`DHCPDISCOVER(${LAB_NETWORK.bridge}) ${mac}`)) asked.push(request);
    if (rest.startsWith('DHCP')) open.delete(xid);
    else open.set(xid, request);
  }
  return asked;
}

test('HTTP Boot asks with arch 16, PXE with 7, BIOS with 0; a plain BIOS ROM is no iPXE until it is given one', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'bw-'));
  const tftp = join(root, 'tftp');
  await mkdir(tftp);
  await copyFile('/usr/lib/ipxe/undionly.kpxe', join(tftp, 'undionly.kpxe'));
  let lab: Lab | undefined;
  t.teardown(async () => {
    await lab?.down();
    await rm(root, { recursive: true });
  });
  lab = await createLab({
    folder: join(root, 'lab'),
    accelerator: 'tcg',
    nodes: [
      { name: 'http', firmware: 'http', memoryMiB: 512 },
      { name: 'pxe', firmware: 'pxe', memoryMiB: 512 },
      { name: 'plain', firmware: 'bios', memoryMiB: 256 },
      { name: 'ipxe', firmware: 'bios', pxeRom: 'ipxe', tpm: true, memoryMiB: 256 },
    ],
  });
  const { address, bridge } = LAB_NETWORK;
  await lab.startService('dnsmasq', 'dnsmasq', [
    ...['--no-daemon', '--conf-file=/dev/null', '--user=root', `--dhcp-leasefile=${join(root, 'leases')}`],
    ...[`--interface=${bridge}`, '--bind-interfaces', '--port=0', '--log-dhcp'],
    ...['--dhcp-range=10.77.0.100,10.77.0.250', '--enable-tftp', `--tftp-root=${tftp}`],
    ...['--dhcp-match=set:bios,option:client-arch,0', '--dhcp-userclass=set:ipxe,iPXE'],
    `--dhcp-boot=tag:bios,tag:!ipxe,undionly.kpxe,,${address}`,
  ]);
  const rack = lab;
  const asked = async (name: string) =>
    requestsOf(await rack.serviceLog('dnsmasq'), rack.nodes.find((node) => node.name === name)?.mac ?? '');

  // Two at a time: that is what two cores are for.
  const run = async (name: string, done: () => Promise<boolean>) => {
    await rack.powerOn(name);
    await until(done, { within: 20 * 60_000, every: 200 });
    await rack.powerOff(name);
  };
  const first = async (name: string) => (await asked(name)).length > 0;
  await Promise.all([run('http', () => first('http')), run('pxe', () => first('pxe'))]);
  await Promise.all([
    run('plain', async () => (await asked('plain')).some(({ userClass }) => userClass === 'iPXE')),
    run('ipxe', () => first('ipxe')),
  ]);

  t.regex((await asked('http'))[0]?.vendorClass ?? '', /^HTTPClient:Arch:00016:/);
  t.regex((await asked('pxe'))[0]?.vendorClass ?? '', /^PXEClient:Arch:00007:/);
  const plain = await asked('plain');
  t.regex(plain[0]?.vendorClass ?? '', /^PXEClient:Arch:00000:/);
  t.not(plain[0]?.userClass, 'iPXE', 'it must look like a ROM that knows nothing of iPXE');
  const log = await rack.serviceLog('dnsmasq');
  t.is(log.match(/dnsmasq-tftp: sent .*undionly\.kpxe/g)?.length, 1, 'loaded once, not for ever');
  t.like((await asked('ipxe'))[0], { userClass: 'iPXE' });
  t.regex((await asked('ipxe'))[0]?.vendorClass ?? '', /^PXEClient:Arch:00000:/);
});
