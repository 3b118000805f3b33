import test from 'ava';
import { dhcpConfig } from '../../../bootserver/dhcp/config.ts';
import type { DhcpInput } from '../../../bootserver/dhcp/input.ts';
import { configProblems } from '../../../bootserver/dhcp/problems.ts';
import { rigConfig, subnet } from './messages.ts';

const pools = (from: string, to: string, netmask = '255.255.255.0') => ({
  subnets: [subnet({ netmask, pools: [{ from, to }] })],
});
const settings = (more: Parameters<typeof subnet>[0]) => ({ subnets: [subnet(more)] });
const mac = '52:54:00:00:00:01';

test('settings that cannot work are refused with their field before anything is answered', (t) => {
  t.deepEqual(configProblems(rigConfig()), []);
  t.deepEqual(configProblems(rigConfig({ proxy: true, subnets: [] })), []);
  const loopback = {
    network: '127.0.0.0',
    netmask: '255.0.0.0',
    pools: [{ from: '127.77.0.10', to: '127.77.0.20' }],
  };
  t.deepEqual(configProblems(rigConfig({ serverIp: '127.0.0.1', ...settings(loopback) })), []);
  const wrong: [string, Partial<DhcpInput>][] = [
    ['subnets', { subnets: [] }],
    ['address', { serverIp: '10.0.0' }],
    ['address', { serverIp: '10.0.0.256' }],
    ['address', { serverIp: '0.0.0.0' }],
    ['subnets.0.dns.0', settings({ dns: ['127.0.0.1'] })],
    ['subnets.0.pools.0', pools('10.1.0.10', '10.1.0.20')],
    ['subnets.0.pools.0', pools('10.0.0.0', '10.0.0.20')],
    ['subnets.0.pools.0', pools('10.0.0.10', '10.0.0.255')],
    ['subnets.0.pools.0', pools('10.0.0.20', '10.0.0.10')],
    ['subnets.0.pools.0', pools('10.0.0.x', '10.0.0.20')],
    [
      'subnets.0.pools.0',
      settings({ network: '10.0.0.0', netmask: '255.0.0.0', pools: [{ from: '10.0.0.1', to: '10.9.0.0' }] }),
    ],
    [
      'subnets.0.pools.1',
      settings({
        pools: [
          { from: '10.0.0.10', to: '10.0.0.20' },
          { from: '10.0.0.20', to: '10.0.0.30' },
        ],
      }),
    ],
    ['subnets.0.network', pools('10.0.0.10', '10.0.0.20', '255.0.255.0')],
    ['subnets.0.network', pools('10.0.0.1', '10.0.0.1', '255.255.255.255')],
    [
      'subnets.1.network',
      { subnets: [subnet(), subnet({ network: '10.0.0.128', netmask: '255.255.255.128', pools: [] })] },
    ],
    [
      'subnets.1.network',
      { subnets: [subnet({ network: '10.0.0.128', netmask: '255.255.255.128', pools: [] }), subnet()] },
    ],
    ['subnets.0.router', settings({ router: '10.0.0.0' })],
    ['subnets.0.router', settings({ router: '10.0.0.255' })],
    ['subnets.0.router', settings({ router: '10.0.1.1' })],
    ['subnets.0.router', settings({ router: '0.0.0.0' })],
    ['subnets.0.relays.0', settings({ relays: ['255.255.255.255'] })],
    ['subnets.0.dns.1', settings({ dns: ['10.0.0.1', '0.0.0.0'] })],
    ['subnets.0.dns.0', settings({ dns: ['224.0.0.1'] })],
    ['subnets.0.ntp.0', settings({ ntp: ['pool.ntp.org'] })],
    ['subnets.0.domain', settings({ domain: 'a b' })],
    ['subnets.0.search.0', settings({ search: ['x'.repeat(64)] })],
    ['subnets.0.mtu', settings({ mtu: 67 })],
    ['subnets.0.routes.0.to', settings({ routes: [{ to: '10.8.0.1/16', via: '10.0.0.2' }] })],
    ['subnets.0.routes.0.via', settings({ routes: [{ to: '10.8.0.0/16', via: '10.1.0.2' }] })],
    ['subnets.0.lease', settings({ leaseSeconds: 5 })],
    ['lease', { settings: { leaseSeconds: 1.5 } }],
    ['hosts.0.address', { hosts: [{ mac, address: '10.9.0.1' }] }],
    ['hosts.0.address', { hosts: [{ mac, address: '10.0.0.255' }] }],
    ['hosts.0.address', { hosts: [{ mac, address: '10.0.0.1' }] }],
    ['hosts.0.mac', { hosts: [{ mac: '52-54-00-00-00-01' }] }],
    ['hosts.1.mac', { hosts: [{ mac }, { mac }] }],
    [
      'hosts.1.address',
      {
        hosts: [
          { mac, address: '10.0.0.9' },
          { mac: '52:54:00:00:00:02', address: '10.0.0.9' },
        ],
      },
    ],
    ['hosts.0.name', { hosts: [{ mac, name: 'a.b c' }] }],
    ['classes.0', { classes: [{ dns: ['10.0.0.1'] }] }],
  ];
  for (const [field, more] of wrong) {
    const input = rigConfig(more);
    const [first] = configProblems(input);
    t.is(first?.path.join('.'), field, JSON.stringify(more));
    const error = t.throws(() => dhcpConfig(input)) as { code?: string; what?: string };
    t.is(error.code, 'DHCP_CONFIG', field);
    t.is(error.what, first?.what);
  }
});
