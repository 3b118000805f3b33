import test from 'ava';
import fc from 'fast-check';
import {
  bundleTarget,
  parseServiceVersion,
  serviceOfTarget,
  shownServiceVersion,
} from '../../../protocol/service/name.ts';

test('a service without an owner is the core team’s', (t) => {
  t.deepEqual(parseServiceVersion('chrony:4.3'), { name: 'fleet/chrony', version: '4.3' });
  t.deepEqual(parseServiceVersion('web/shop:1.4'), { name: 'web/shop', version: '1.4' });
});

test('what is neither name nor version is refused', (t) => {
  for (const text of [
    '',
    'a',
    ':1',
    'a:',
    'a:1:2',
    'a/b/c:1',
    'A:1',
    '../a:1',
    'a_b:1',
    'a:1_2',
    '/a:1',
    '-a:1',
  ])
    t.is(parseServiceVersion(text), null, text);
});

test('a service, its target and what people read say the same', (t) => {
  const word = fc.stringMatching(/^[a-z]([0-9a-z-]{0,30}[0-9a-z])?$/);
  const version = fc.stringMatching(/^[0-9a-z]([0-9a-z.~-]{0,62}[0-9a-z])?$/);
  fc.assert(
    fc.property(word, word, version, (owner, name, of) => {
      const service = { name: `${owner}/${name}`, version: of };
      t.deepEqual(serviceOfTarget(bundleTarget(service)), service);
      t.deepEqual(parseServiceVersion(shownServiceVersion(service)), service);
    }),
  );
  t.pass();
});

test('whatever a path of a target is, it is read or refused', (t) => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.string().map((text) => `services/${text}`),
      ),
      (path) => {
        const read = serviceOfTarget(path);
        if (read !== null) t.is(bundleTarget(read), path);
      },
    ),
  );
  t.is(serviceOfTarget('bootwave_1.0.efi'), null);
});
