import test from 'ava';
import { isDomainName, networkOf } from '../../../bootserver/dhcp/settings.ts';
import { OPTION } from '../../../formats/dhcp/options.ts';
import { ip, message, replied, rig, SERVER, shown, subnet, text } from './messages.ts';

const all = Uint8Array.of(1, 3, 6, 12, 15, 26, 42, 119, 121);
const asking = (parameters: Uint8Array = all) => ({ options: [[OPTION.parameterList, parameters]] as const });
const full = subnet({
  router: '10.0.0.254',
  domain: 'lab.example.org',
  ntp: ['10.0.0.123', '10.0.0.124'],
  search: ['lab.example.org', 'example.org'],
  mtu: 9000,
  routes: [
    { to: '10.8.0.0/14', via: '10.0.0.2' },
    { to: '192.0.2.7/32', via: '10.0.0.3' },
  ],
});
const hex = (value: Uint8Array | undefined) => Buffer.from(value ?? []).toString('hex');

test('NTP, search list, MTU and routes, as their RFCs write them', (t) => {
  const offer = replied(rig({ subnets: [full] }).decide(message('discover', 1, asking())));
  t.is(hex(offer.options.get(OPTION.ntp)), '0a00007b0a00007c');
  t.is(hex(offer.options.get(OPTION.interfaceMtu)), '2328');
  t.is(text(offer, OPTION.domainName), 'lab.example.org');
  t.is(
    Buffer.from(offer.options.get(OPTION.domainSearch) ?? []).toString('latin1'),
    '\x03lab\x07example\x03org\0\x07example\x03org\0',
  );
  // RFC 3442: length, significant bytes, router; the default route last, because option 3 is ignored beside it.
  t.is(
    hex(offer.options.get(OPTION.classlessRoutes)),
    '0e0a08' + '0a000002' + '20c0000207' + '0a000003' + '00' + '0a0000fe',
  );
  t.is(ip(offer, OPTION.router), '10.0.0.254');
  t.false(offer.options.has(249));
});

test('who asks for less gets less; who says nothing gets all; Windows gets routes by its own number', (t) => {
  const server = rig({ subnets: [full] });
  const firmware = replied(server.decide(message('discover', 1, asking(Uint8Array.of(1, 3, 6)))));
  for (const code of [26, 42, 119, 121]) t.false(firmware.options.has(code), `${code}`);
  t.is(ip(firmware, OPTION.router), '10.0.0.254');
  const silent = replied(server.decide(message('discover', 1)));
  for (const code of [26, 42, 119, 121]) t.true(silent.options.has(code), `${code}`);
  const windows = replied(server.decide(message('discover', 1, asking(Uint8Array.of(1, 249)))));
  t.true(windows.options.has(249));
  t.false(windows.options.has(121));
});

test('what is said of a host goes before its class, that before its subnet, that before all', (t) => {
  const server = rig({
    settings: { domain: 'all', dns: ['10.0.0.51'], ntp: ['10.0.0.61'], leaseSeconds: 1000 },
    subnets: [subnet({ domain: 'subnet', ntp: ['10.0.0.62'], leaseSeconds: 900 })],
    classes: [
      { vendorClass: 'PXEClient', leaseSeconds: 300 },
      { architecture: 'uefi-x64', domain: 'x64' },
      { userClass: 'iPXE', domain: 'ipxe' },
    ],
    hosts: [{ mac: '52:54:00:00:00:09', name: 'node-nine', domain: 'host' }],
  });
  const told = (n: number, parts: Parameters<typeof message>[2]) => {
    const offer = replied(server.decide(message('discover', n, parts)));
    return [
      text(offer, 15),
      ip(offer, OPTION.ntp),
      ip(offer, OPTION.dns),
      hex(offer.options.get(OPTION.leaseTime)),
    ];
  };
  t.deepEqual(told(1, {}), ['subnet', '10.0.0.62', '10.0.0.51', '00000384']);
  const uefi = { vendorClass: 'PXEClient:Arch:00007' };
  t.deepEqual(told(1, uefi), ['x64', '10.0.0.62', '10.0.0.51', '0000012c']);
  const ipxe = { ...uefi, options: [[OPTION.userClass, Buffer.from('iPXE')]] as const };
  t.deepEqual(told(1, ipxe), ['ipxe', '10.0.0.62', '10.0.0.51', '0000012c']);
  t.deepEqual(told(9, ipxe), ['host', '10.0.0.62', '10.0.0.51', '0000012c']);
  t.is(text(replied(server.decide(message('discover', 9, ipxe))), OPTION.hostName), 'node-nine');
});

test('several pools of one subnet are given out one after the other', (t) => {
  const pools = [
    { from: '10.0.0.10', to: '10.0.0.10' },
    { from: '10.0.0.20', to: '10.0.0.20' },
  ];
  const server = rig({ subnets: [subnet({ pools })] });
  const got = [1, 2, 3].map((n) => shown(server.decide(message('discover', n))));
  const everyone = '255.255.255.255:68';
  t.deepEqual(got, [
    `offer 10.0.0.10 -> ${everyone}`,
    `offer 10.0.0.20 -> ${everyone}`,
    'silent DHCP_POOL_EXHAUSTED',
  ]);
});

const behind = [
  subnet(),
  subnet({ network: '10.7.0.0', pools: [{ from: '10.7.0.10', to: '10.7.0.20' }], relays: ['192.0.2.9'] }),
];

test('a relay agent with an address of another network stands for the subnet that names it', (t) => {
  const server = rig({ subnets: behind });
  t.is(
    shown(server.decide(message('discover', 1, { giaddr: '192.0.2.9' }))),
    'offer 10.7.0.10 -> 192.0.2.9:67',
  );
  t.is(shown(server.decide(message('discover', 2, { giaddr: '192.0.2.8' }))), 'silent DHCP_RELAY_UNKNOWN');
});

test("RFC 5107: behind a relay that says so the server goes by the relay's address, also in REQUEST and DECLINE", (t) => {
  const server = rig({ subnets: behind });
  const override = [[OPTION.relayAgent, Uint8Array.of(11, 4, 10, 7, 0, 1)]] as const;
  const via = { giaddr: '10.7.0.1', options: override };
  const offer = server.decide(message('discover', 1, via));
  t.is(ip(replied(offer), OPTION.serverId), '10.7.0.1');
  const taken = { ...via, requested: '10.7.0.10', serverId: '10.7.0.1' };
  t.is(shown(server.decide(message('request', 1, taken))), 'ack 10.7.0.10 -> 10.7.0.1:67');
  t.is(
    shown(server.decide(message('request', 1, { ...taken, serverId: '10.7.0.2' }))),
    'change',
    'of another server',
  );
  t.is(shown(server.decide(message('decline', 1, taken))), 'change DHCP_ADDRESS_CONFLICT');
  // Only a relay may say so: from the wire itself it is the client's own invention.
  const direct = server.decide(message('discover', 2, { options: override }));
  t.is(ip(replied(direct), OPTION.serverId), SERVER);
});

test('networks and names that are none', (t) => {
  for (const good of ['10.0.0.0/8', '0.0.0.0/0', '192.0.2.7/32']) t.truthy(networkOf(good), good);
  for (const bad of [
    '10.0.0.1/8',
    '10.0.0.0',
    '10.0.0.0/33',
    '10.0.0/8',
    '/8',
    '10.0.0.0/',
    '10.0.0.0/8/8',
  ]) {
    t.is(networkOf(bad), undefined, bad);
  }
  for (const good of ['example.org', 'a', 'a.b.', 'x-1.example', '_ldap.example'])
    t.true(isDomainName(good), good);
  for (const bad of ['', '.', 'a..b', '-a', 'a-', 'a b', 'x'.repeat(64), `${'abc.'.repeat(64)}d`]) {
    t.false(isDomainName(bad), bad);
  }
});
