/** Who is behind an address. */
import test from 'ava';
import fc from 'fast-check';
import { hostOf } from '../../base/host.ts';

test('of IPv4 the address itself, however a socket shows it', (t) => {
  fc.assert(
    fc.property(fc.ipV4(), (address) => {
      t.is(hostOf(address), address);
      t.is(hostOf(`::ffff:${address}`), address);
    }),
  );
});

test('of IPv6 the /64, however it is written', (t) => {
  for (const address of [
    '2001:db8:0:7::1',
    '2001:0DB8:0:7:a:b:c:d',
    '2001:db8::7:ffff:0:0:1',
    'fe80::1%eth0',
  ])
    t.is(hostOf(address), address.startsWith('fe80') ? 'fe80:0:0:0' : '2001:db8:0:7');
  t.not(hostOf('2001:db8:0:8::1'), hostOf('2001:db8:0:7::1'));
  fc.assert(fc.property(fc.string(), (any) => void hostOf(any)));
});
