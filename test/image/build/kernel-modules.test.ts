import test from 'ava';
import { BootwaveError } from '../../../base/error.ts';
import { loadOrder, moduleName, resolveModules } from '../../../image/build/kernel-modules.ts';

const tables = {
  dep: [
    'kernel/net/a-b.ko: kernel/lib/c.ko kernel/lib/d.ko',
    'kernel/lib/c.ko: kernel/lib/d.ko',
    'kernel/lib/d.ko:',
    'kernel/lib/soft.ko:',
    'kernel/lib/unwanted.ko:',
    '',
  ].join('\n'),
  builtin: 'kernel/drivers/built-in.ko\n',
  softdep: '# comment\nsoftdep a_b pre: soft post: no-such-alias\n',
};

test('names are as modprobe has them', (t) => {
  t.is(moduleName('kernel/drivers/amd-xgbe.ko'), 'amd_xgbe');
  t.is(moduleName('kernel/x.ko.xz'), 'x');
});

test('a module brings what it needs, hard and soft, and nothing else', (t) => {
  t.deepEqual(resolveModules(tables, ['a_b']), [
    'kernel/lib/c.ko',
    'kernel/lib/d.ko',
    'kernel/lib/soft.ko',
    'kernel/net/a-b.ko',
  ]);
});

test('a built-in module needs no file', (t) => t.deepEqual(resolveModules(tables, ['built_in']), []));

test('all modules that a kernel does not have are named at once', (t) => {
  const error = t.throws(() => resolveModules(tables, ['zzz', 'c', 'yyy']), { instanceOf: BootwaveError });
  t.is(error?.code, 'MODULES_MISSING');
  t.regex(error?.what ?? '', /yyy, zzz/);
});

test('insmod gets what is needed first', (t) => {
  t.deepEqual(loadOrder(tables, ['a_b']), ['kernel/lib/d.ko', 'kernel/lib/c.ko', 'kernel/net/a-b.ko']);
});
