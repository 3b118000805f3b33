import test from 'ava';
import { checkCertificateLife } from '../../../orchestrator/up/options.ts';
import { wireSpecs } from '../../../orchestrator/up/wire-specs.ts';

test('a certificate that would end before it is renewed is refused, and one that holds is not', (t) => {
  t.notThrows(() => checkCertificateLife({ certificateLife: 7 * 24 * 3600_000, heartbeat: 30 }));
  t.notThrows(() => checkCertificateLife({ certificateLife: 12_000, heartbeat: 1 }));
  const error = t.throws(() => checkCertificateLife({ certificateLife: 60_000, heartbeat: 30 }));
  t.like(error, { code: 'UP_CERTIFICATE_LIFE', unchanged: 'nothing was started' });
});

test('IPv6 is off unless it is asked for; a prefix that cannot be used is refused before anything is opened', async (t) => {
  const options = { interface: 'eth1', proxy: true, httpPort: 1, httpsPort: 2 };
  const of = async (ipv6?: string) =>
    (await wireSpecs({ bootserver: '/d' }, { ...options, ...(ipv6 === undefined ? {} : { ipv6 }) }))[0]?.ipv6;
  t.is(await of(), undefined);
  t.deepEqual(await of('proxy'), { prefixes: [] });
  t.deepEqual(await of('fd00:77::/64'), { prefixes: ['fd00:77::/64'] });
  await t.throwsAsync(of('fd00:77::/48'), { code: 'DHCP_CONFIG', message: /write it as fd00:77::\/64/ });
});
