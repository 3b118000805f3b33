import test from 'ava';
import { createLogger } from '../../base/log.ts';

test('no key stands twice in a line, whatever a caller calls its fields', (t) => {
  const lines: string[] = [];
  const log = createLogger('x', 'info', { write: (line: string) => void lines.push(line) });
  log.info({ pid: 7, name: 'n1', level: 'high', time: 'noon', hostname: 'h', msg: 'm', other: 1 }, 'text');
  const [line = ''] = lines;
  for (const key of ['level', 'time', 'pid', 'hostname', 'name', 'msg']) {
    t.is(line.split(`"${key}":`).length, 2, key);
  }
  t.like(JSON.parse(line), { pid: process.pid, itsPid: 7, name: 'x', itsName: 'n1', msg: 'text', other: 1 });
});

test('secrets are kept out', (t) => {
  const lines: string[] = [];
  const log = createLogger('x', 'info', { write: (line: string) => void lines.push(line) });
  log.info({ token: 'abc', made: { key: 'def', privateKey: 'def', password: 'ghi', secret: 'jkl' } }, 'text');
  t.notRegex(lines.join(), /abc|def|ghi|jkl/);
});

test.serial('a level that is none is refused, and an empty one is the usual one', (t) => {
  const before = process.env.BOOTWAVE_LOG;
  t.teardown(() => {
    if (before === undefined) delete process.env.BOOTWAVE_LOG;
    else process.env.BOOTWAVE_LOG = before;
  });
  process.env.BOOTWAVE_LOG = '';
  t.is(createLogger('x').level, 'info');
  process.env.BOOTWAVE_LOG = 'loud';
  t.like(
    t.throws(() => createLogger('x')),
    { code: 'LOG_LEVEL', what: 'BOOTWAVE_LOG is "loud"' },
  );
});
