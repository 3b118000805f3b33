import { isIP } from 'node:net';
import test from 'ava';
import fc from 'fast-check';
import { BootwaveError } from '../../../base/error.ts';
import { HELPER_LINE } from '../../../protocol/agent/machine.ts';
import {
  CONFIG_BASE64,
  CONFIG_LIMITS,
  digestOf,
  makeDocument,
  readDocument,
} from '../../../protocol/configuration/document.ts';
import { SYSCTLS, type SysctlValue, sysctlRefusal } from '../../../protocol/configuration/sysctls.ts';
import { LINK_LIMITS } from '../../../protocol/link/messages.ts';

const keys = Object.keys(SYSCTLS);

const sysctl = fc.constantFrom(...keys).chain((key): fc.Arbitrary<[string, SysctlValue]> => {
  const rule = SYSCTLS[key]!;
  if (rule.kind === 'word') return fc.tuple(fc.constant(key), fc.constantFrom(...rule.words));
  const one = fc.integer({ min: rule.min, max: rule.max });
  if (rule.kind === 'number') return fc.tuple(fc.constant(key), one);
  const rising = fc
    .array(one, { minLength: rule.count, maxLength: rule.count })
    .map((all) => all.sort((a, b) => a - b));
  return fc.tuple(fc.constant(key), rising);
});
const label = fc.tuple(fc.stringMatching(/^[a-z][a-z0-9]{0,8}$/), fc.stringMatching(/^[A-Za-z0-9]{1,9}$/));
const draft = fc.record(
  {
    sysctls: fc.array(sysctl, { maxLength: 10 }).map((all) => Object.fromEntries(all)),
    ntp: fc.uniqueArray(fc.oneof(fc.ipV4(), fc.constantFrom('ntp.example.org', 'time')), { maxLength: 8 }),
    dns: fc.uniqueArray(
      fc.oneof(fc.ipV4(), fc.ipV6()).filter((text) => isIP(text) !== 0),
      { maxLength: 8 },
    ),
    log: fc.option(
      fc.record({
        level: fc.constantFrom('err', 'info', 'debug'),
        megabytes: fc.integer({ min: 8, max: 256 }),
        target: fc.option(
          fc.record({
            protocol: fc.constantFrom('tcp', 'udp'),
            host: fc.constantFrom('log.example.org', '10.0.0.9', '2001:db8::9'),
            port: fc.integer({ min: 1, max: 65_535 }),
          }),
        ),
      }),
    ),
    labels: fc.array(label, { maxLength: 20 }).map((all) => Object.fromEntries(all)),
  },
  { requiredKeys: [] },
);

test('what can be published is read on the node as it was meant, and has one spelling', (t) => {
  fc.assert(
    fc.property(draft, (wanted) => {
      const document = makeDocument(wanted, '1.0');
      const read = readDocument(document);
      t.deepEqual(read.sysctls, (wanted.sysctls ?? {}) as typeof read.sysctls);
      t.deepEqual([read.ntp, read.dns, read.log], [wanted.ntp ?? [], wanted.dns ?? [], wanted.log ?? null]);
      t.deepEqual(read.labels, wanted.labels ?? {});
      const { format, version, ...again } = read;
      const reversed = Object.fromEntries(Object.entries(again).reverse());
      reversed.sysctls = Object.fromEntries(Object.entries(read.sysctls).reverse());
      t.is(digestOf(makeDocument(reversed, version)), digestOf(document));
      t.is(format, 1);
    }),
  );
});

test('no bytes make the reader fail otherwise than by its own refusals', (t) => {
  const base = JSON.parse(makeDocument({}, '1.0').toString()) as object;
  const near = fc
    .tuple(
      fc.constantFrom('sysctls', 'ntp', 'dns', 'log', 'labels', 'version', 'format', 'x'),
      fc.jsonValue(),
    )
    .map(([key, value]) => Buffer.from(JSON.stringify({ ...base, [key]: value })));
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), near), (bytes) => {
      try {
        readDocument(bytes);
      } catch (error) {
        t.true(error instanceof BootwaveError && error.code === 'CONFIG_MALFORMED', String(error));
      }
    }),
  );
});

test('only listed parameters, and only values within their range', (t) => {
  for (const key of ['kernel.kptr_restrict', 'kernel.core_pattern', 'net.ipv4.ip_forward', 'toString', ''])
    t.not(sysctlRefusal(key, 1), null, key);
  for (const key of keys) {
    const rule = SYSCTLS[key]!;
    t.regex(key, /^(net\.core|net\.ipv4\.tcp|vm|kernel)[._][a-z0-9_]+$/);
    if (rule.kind === 'word') {
      for (const word of rule.words) t.is(sysctlRefusal(key, word), null);
      t.not(sysctlRefusal(key, 'other'), null);
      continue;
    }
    const { min, max } = rule;
    const of = (n: number) => (rule.kind === 'number' ? n : Array(rule.count).fill(n));
    for (const n of [min, max]) t.is(sysctlRefusal(key, of(n)), null, key);
    for (const n of [min - 1, max + 1, min + 0.5, Number.NaN]) t.not(sysctlRefusal(key, of(n)), null, key);
    t.not(sysctlRefusal(key, String(min)), null, key);
  }
  t.not(sysctlRefusal('net.ipv4.tcp_rmem', [4096, 131072]), null);
  t.not(sysctlRefusal('net.ipv4.tcp_rmem', [8192, 4096, 131072]), null);
});

test('a mistake is named by its field', (t) => {
  const cases: [object, RegExp][] = [
    [{ sysctls: { 'vm.swappiness': 900 } }, /sysctls\.vm\.swappiness: must be a whole number from 0 to 200/],
    [{ sysctls: { 'kernel.modprobe': '/bin/sh' } }, /kernel\.modprobe: is not one of the parameters/],
    [{ ntp: ['time.example.org\nDNS=1.2.3.4'] }, /ntp\.0: is neither/],
    [{ ntp: ['1.2.3'] }, /ntp\.0: is neither/],
    [{ dns: ['dns.example.org'] }, /dns\.0: is not an IP address/],
    [{ dns: ['fe80::1%eth0'] }, /dns\.0: is not an IP address/],
    [{ dns: ['10.0.0.1', '10.0.0.1'] }, /dns: names a server twice/],
    [{ dns: Array.from({ length: 9 }, (_, i) => `10.0.0.${i}`) }, /dns/],
    [{ log: { level: 'info', megabytes: 1024 } }, /log\.megabytes/],
    [{ log: { target: { protocol: 'tcp', host: 'a b', port: 514 } } }, /log\.target\.host: is neither/],
    [{ log: { target: { protocol: 'tls', host: 'a', port: 514 } } }, /log\.target\.protocol/],
    [{ labels: { Rack: 'a' } }, /labels/],
    [{ labels: { rack: 'a b' } }, /labels\.rack/],
    [{ timezone: 'UTC' }, /timezone/],
  ];
  for (const [wrong, said] of cases) {
    const error = t.throws(() => makeDocument(wrong, '1.0'), { instanceOf: BootwaveError });
    t.is(error?.code, 'CONFIG_MALFORMED');
    t.regex(error?.what ?? '', said);
  }
  t.throws(() => makeDocument({}, 'V 1'), { message: /version/ });
});

test('the largest document fits through the link and to the helper', (t) => {
  const bytes = Buffer.alloc(CONFIG_LIMITS.bytes + 1, 0x20);
  t.throws(() => readDocument(bytes), { message: /32769 bytes/ });
  t.true(CONFIG_BASE64 + 256 < HELPER_LINE);
  t.true(CONFIG_BASE64 + 256 < LINK_LIMITS.frameBytes);
});
