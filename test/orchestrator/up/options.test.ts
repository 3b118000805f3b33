import test from 'ava';
import { checkCertificateLife } from '../../../orchestrator/up/options.ts';

test('a certificate that would end before it is renewed is refused, and one that holds is not', (t) => {
  t.notThrows(() => checkCertificateLife({ certificateLife: 7 * 24 * 3600_000, heartbeat: 30 }));
  t.notThrows(() => checkCertificateLife({ certificateLife: 12_000, heartbeat: 1 }));
  const error = t.throws(() => checkCertificateLife({ certificateLife: 60_000, heartbeat: 30 }));
  t.like(error, { code: 'UP_CERTIFICATE_LIFE', unchanged: 'nothing was started' });
});
