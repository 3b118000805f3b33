import test from 'ava';
import { type DhcpInput, dhcpConfig } from '../../../bootserver/dhcp/config.ts';

const good: DhcpInput = {
  serverIp: '10.0.0.1',
  proxy: false,
  httpPort: 80,
  httpsPort: 443,
  subnet: { netmask: '255.255.255.0', range: { from: '10.0.0.10', to: '10.0.0.20' } },
};
const range = (from: string, to: string, netmask = '255.255.255.0') => ({
  subnet: { netmask, range: { from, to } },
});

test('settings that cannot work are refused before anything is answered', (t) => {
  t.notThrows(() => dhcpConfig(good));
  const { subnet: _, ...without } = good;
  t.notThrows(() => dhcpConfig({ ...without, proxy: true }));
  const wrong: [string, DhcpInput][] = [
    ['full server without a range', without],
    ['address', { ...good, serverIp: '10.0.0' }],
    ['address', { ...good, serverIp: '10.0.0.256' }],
    ['range of another network', { ...good, ...range('10.1.0.10', '10.1.0.20') }],
    ['range with the network address', { ...good, ...range('10.0.0.0', '10.0.0.20') }],
    ['range with the broadcast address', { ...good, ...range('10.0.0.10', '10.0.0.255') }],
    ['range backwards', { ...good, ...range('10.0.0.20', '10.0.0.10') }],
    ['netmask with a hole', { ...good, ...range('10.0.0.10', '10.0.0.20', '255.0.255.0') }],
    ['netmask without room', { ...good, ...range('10.0.0.1', '10.0.0.1', '255.255.255.255') }],
    ['lease', { ...good, leaseSeconds: 5 }],
    ['reserved address', { ...good, reservations: { '52:54:00:00:00:01': '10.9.0.1' } }],
    ['reserved machine', { ...good, reservations: { '52-54-00-00-00-01': '10.0.0.2' } }],
  ];
  for (const [what, input] of wrong) {
    t.is(
      (t.throws(() => dhcpConfig(input), undefined, what) as { code?: string } | undefined)?.code,
      'DHCP_CONFIG',
      what,
    );
  }
});
