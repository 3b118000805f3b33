import { readFile } from 'node:fs/promises';
import test from 'ava';
import fc from 'fast-check';
import { type FileProblem, parseConfigFile } from '../../bootserver/config-file.ts';
import { dhcpConfig } from '../../bootserver/dhcp/config.ts';

const GOOD = `# The wire of rack 7 and what is behind its relay.
interfaces:
  eth1:
    address: 10.0.0.1
    lease: 12h
    domain: lab.example.org
    dns: [10.0.0.53]
    ntp: [10.0.0.123]
    subnets:
      - network: 10.0.0.0/24
        pools: [10.0.0.100-10.0.0.149, 10.0.0.200-10.0.0.220]
        router: 10.0.0.254
        search: [lab.example.org]
        mtu: 9000
        routes:
          - { to: 10.8.0.0/16, via: 10.0.0.2 }
      - network: 10.7.0.0/24
        pools: [10.7.0.10-10.7.0.20]
        router: 10.7.0.1
        relays: [192.0.2.9]
        lease: 1h
    hosts:
      - mac: 52-54-00-AA-BB-CC
        address: 10.0.0.50
        name: db1
    classes:
      - vendor-class: PXEClient
        lease: 10m
  eth2:
    proxy: true
    ipv6:
      address: FD00:77:0::1
      prefixes: [fd00:77::/64]
`;

function problems(text: string): FileProblem[] {
  const read = parseConfigFile(text);
  return 'problems' in read ? read.problems : [];
}
const shown = (text: string) => problems(text).map(({ line, field, what }) => `${line} ${field}: ${what}`);

test('what the file says is what the DHCP server gets', (t) => {
  const read = parseConfigFile(GOOD);
  if ('problems' in read) return t.fail(JSON.stringify(read.problems));
  const [first, second] = read.interfaces;
  t.is(first?.interface, 'eth1');
  t.like(second, { interface: 'eth2', address: undefined });
  t.true(second?.dhcp.proxy);
  t.is(first?.ipv6, undefined, 'off until it is named');
  t.deepEqual(second?.ipv6, { address: 'fd00:77::1', prefixes: ['fd00:77::/64'] }, 'as the kernel writes it');
  const config = dhcpConfig({ ...first!.dhcp, serverIp: first!.address!, httpPort: 1, httpsPort: 2 });
  t.deepEqual(
    config.subnets.map(({ pools }) => pools.length),
    [2, 1],
  );
  t.is(config.subnets[1]?.settings.leaseSeconds, 3600);
  t.is(config.settings.leaseSeconds, 43_200);
  t.deepEqual([...config.hosts.keys()], ['52:54:00:aa:bb:cc']);
  t.is(config.classes[0]?.vendorClass, 'PXEClient');
  return t.pass();
});

/** The good file with one line of it changed; the line's number is known from its text. */
const wrong: [string, string, string][] = [
  [
    '        router: 10.0.0.254',
    '        router: 10.0.0.255',
    'interfaces.eth1.subnets[0].router: the router 10.0.0.255 is the network or broadcast address of its subnet',
  ],
  [
    '        router: 10.0.0.254',
    '        router: 10.0.0.0',
    'interfaces.eth1.subnets[0].router: the router 10.0.0.0 is the network or broadcast address of its subnet',
  ],
  [
    '        router: 10.7.0.1',
    '        router: 10.0.0.254',
    'interfaces.eth1.subnets[1].router: the router 10.0.0.254 is outside of its subnet',
  ],
  [
    '    dns: [10.0.0.53]',
    '    dns: [0.0.0.0]',
    'interfaces.eth1.dns[0]: 0.0.0.0 is no address of a machine',
  ],
  [
    '        pools: [10.0.0.100-10.0.0.149, 10.0.0.200-10.0.0.220]',
    '        pools: [10.0.0.100-10.0.0.200, 10.0.0.200-10.0.0.220]',
    'interfaces.eth1.subnets[0].pools[1]: the range 10.0.0.200-10.0.0.220 overlaps the range 10.0.0.100-10.0.0.200',
  ],
  [
    '        pools: [10.7.0.10-10.7.0.20]',
    '        pools: [10.7.0.10]',
    'interfaces.eth1.subnets[1].pools[0]: write it as 10.0.0.100-10.0.0.200',
  ],
  [
    '      - network: 10.7.0.0/24',
    '      - network: 10.0.0.0/8',
    'interfaces.eth1.subnets[1].network: this subnet overlaps another one',
  ],
  [
    '      - network: 10.7.0.0/24',
    '      - network: 10.7.0.1/24',
    'interfaces.eth1.subnets[1].network: write it as 10.0.0.0/24',
  ],
  ['        mtu: 9000', '        mtu: 9', 'interfaces.eth1.subnets[0].mtu: an MTU of 9 bytes cannot be'],
  ['        lease: 1h', '        lease: 1', 'interfaces.eth1.subnets[1].lease: must be a text'],
  [
    '        lease: 1h',
    '        lease: 1s',
    'interfaces.eth1.subnets[1].lease: a lease of 1 seconds cannot be given',
  ],
  ['        name: db1', '        nme: db1', 'interfaces.eth1.hosts[0].nme: there is no such field'],
  [
    '      - mac: 52-54-00-AA-BB-CC',
    '      - mac: 52-54-00-AA-BB',
    'interfaces.eth1.hosts[0].mac: "52:54:00:aa:bb" is not a MAC address',
  ],
  [
    '        address: 10.0.0.50',
    '        address: 10.1.0.50',
    'interfaces.eth1.hosts[0].address: the address 10.1.0.50 reserved for 52:54:00:aa:bb:cc is in no subnet',
  ],
  [
    '        address: 10.0.0.50',
    '        address: 10.0.0.1',
    "interfaces.eth1.hosts[0].address: 10.0.0.1 is this server's own address",
  ],
  [
    '      prefixes: [fd00:77::/64]',
    '      prefixes: [fd00:78::/64, fd00:77::/48]',
    'interfaces.eth2.ipv6.prefixes[1]: "fd00:77::/48" is not the prefix of a link',
  ],
  [
    '      prefixes: [fd00:77::/64]',
    '      prefixes: [fd00:77::/64, "FD00:77::/64"]',
    'interfaces.eth2.ipv6.prefixes[1]: FD00:77::/64 is named twice',
  ],
  [
    '      address: FD00:77:0::1',
    '      address: 10.0.0.1',
    'interfaces.eth2.ipv6.address: write it as fd00:77::1',
  ],
  ['    proxy: true', '    proxy: maybe', 'interfaces.eth2.proxy: must be true or false'],
];

test('the file that the page shows is one that can be used', async (t) => {
  const page = await readFile(new URL('../../docs/network.md', import.meta.url), 'utf8');
  const [, text = ''] = /^```yaml\n([\s\S]*?)^```$/m.exec(page) ?? [];
  t.true(text.length > 500);
  t.deepEqual(shown(text), []);
});

test('each mistake is named with its line and its field', (t) => {
  for (const [line, instead, what] of wrong) {
    const number = GOOD.split('\n').indexOf(line) + 1;
    t.true(number > 0, line);
    t.deepEqual(shown(GOOD.replace(`${line}\n`, `${instead}\n`)), [`${number} ${what}`], instead);
  }
});

test('several mistakes are told at once, in the order of their lines', (t) => {
  const text = GOOD.replace('dns: [10.0.0.53]', 'dns: [0.0.0.0]').replace('mtu: 9000', 'mtu: 1');
  t.deepEqual(
    problems(text).map(({ line }) => line),
    [7, 14],
  );
});

test('no YAML, twice the same field, aliases without end, nothing at all: refused with a line', (t) => {
  const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${[...'bcdefgh'].map((name, i) => `${name}: &${name} [${Array(9).fill(`*${'abcdefg'[i]}`)}]`).join('\n')}\n`;
  for (const text of [
    '',
    'interfaces:\n',
    'interfaces: {}\n',
    '- 1\n',
    '{',
    '\t',
    'interfaces:\n  a: {}\n  a: {}\n',
    bomb,
  ]) {
    const found = problems(text);
    t.true(found.length > 0, text);
    for (const { line, column } of found) t.true(line >= 1 && column >= 1);
  }
  t.is(problems('interfaces:\n  a: {}\n  a: {}\n')[0]?.line, 3);
});

test('no problem is told in the words of a schema', (t) => {
  const fields = ['lease', 'dns', 'mtu', 'routes', 'subnets', 'hosts', 'classes', 'ipv6', 'proxy', 'address'];
  fc.assert(
    fc.property(fc.constantFrom(...fields, 'other'), fc.jsonValue(), (field, value) => {
      const text = JSON.stringify({ interfaces: { eth1: { [field]: value } } });
      const raw = /Invalid|expected|received|Unrecognized|Too (?:small|big)|undefined/;
      return problems(text).every(({ what }) => !raw.test(what) || raw.test(text));
    }),
    { numRuns: 500 },
  );
  t.pass();
});

test('whatever the text is, it is read or refused, never a crash', (t) => {
  const lines = GOOD.split('\n');
  const broken = fc
    .tuple(fc.nat(lines.length - 1), fc.string({ maxLength: 30 }), fc.nat(20))
    .map(([at, text, indent]) => lines.with(at, ' '.repeat(indent) + text).join('\n'));
  fc.assert(
    fc.property(fc.oneof(fc.string(), broken), (text) => {
      const read = parseConfigFile(text);
      if ('problems' in read && read.problems.length === 0) throw new Error('refused without a reason');
    }),
    { numRuns: 500 },
  );
  t.pass();
});
