import test from 'ava';
import fc from 'fast-check';
import { BootwaveError } from '../../../base/error.ts';
import { merge, ofImage, readWritten } from '../../../image/services/merge.ts';
import { MANIFEST } from './oci.ts';

const image = (config: object) =>
  ofImage({ architecture: 'amd64', os: 'linux', config, rootfs: { type: 'layers', diff_ids: [] } });
const merged = (text: string, config: object = { Cmd: ['/x'] }) =>
  merge(readWritten(`${MANIFEST}\n${text}`), image(config), null);

test('what the image says counts where the manifest is silent', (t) => {
  const config = {
    ...{ Entrypoint: ['/bin/web'], Cmd: ['--serve'], Env: ['A=1', 'B=x=y', 'C'], WorkingDir: '/srv/' },
    ...{ ExposedPorts: { '53/udp': {}, '80': {} }, StopSignal: 'SIGQUIT' },
  };
  const own = merged('', config);
  t.deepEqual(own.command, ['/bin/web', '--serve']);
  t.deepEqual(own.env, { A: '1', B: 'x=y', C: '' });
  t.is(own.workdir, '/srv');
  t.deepEqual(own.ports, [
    { name: 'tcp-80', protocol: 'tcp', port: 80 },
    { name: 'udp-53', protocol: 'udp', port: 53 },
  ]);
  t.deepEqual(own.stop, { signal: 'SIGQUIT', timeout: 10 });
  const over = merged('command: [/y]\nenv: { A: "2" }\nports: []\nstop: { timeout: 3 }', config);
  t.deepEqual(over.command, ['/y']);
  t.deepEqual(over.env, { A: '2', B: 'x=y', C: '' });
  t.deepEqual(over.ports, []);
  t.deepEqual(over.stop, { signal: 'SIGQUIT', timeout: 3 });
});

const refused: [string, string, object, RegExp][] = [
  ['an unknown field', 'privileged: true', {}, /privileged: there is no such field/],
  ['an unknown field in a field', 'stop: { now: true }', {}, /stop\.now: there is no such field/],
  ['a wrong value', 'user: { uid: -1, gid: 0 }', {}, /user\.uid: /],
  [
    'a signal of the image',
    '',
    { StopSignal: 'SIGWINCH' },
    /stop\.signal: .*the image says so; write another/,
  ],
  ['a variable of the image', '', { Env: ['A-B=1'] }, /env.*the image says so/],
  ['a port of the image', '', { ExposedPorts: { 'x/tcp': {} } }, /ports\.0\.port: .*the image says so/],
  ['no command', '', { Cmd: [] }, /command: neither the manifest nor the image/],
  ['another field twice', 'user: {}\nuser: {}', {}, /no YAML/],
  ['text', '"x"', {}, /YAML|no fields/],
];
for (const [what, text, config, why] of refused)
  test(`refused with its field: ${what}`, (t) => {
    t.throws(() => merged(text, { Cmd: ['/x'], ...config }), { code: 'SERVICE_MANIFEST', message: why });
  });

test('documents that grow while they are read, and long ones, are refused', (t) => {
  const bomb = [
    'a: &a [x,x,x,x,x,x,x,x,x,x]',
    ...['b', 'c', 'd', 'e'].map(
      (name, i) => `${name}: &${name} [${Array(10).fill(`*${'abcd'[i]}`).join(',')}]`,
    ),
  ];
  t.throws(() => readWritten(bomb.join('\n')), { code: 'SERVICE_MANIFEST' });
  t.throws(() => readWritten(`a: ${'x'.repeat(70_000)}`), { code: 'SERVICE_MANIFEST' });
  t.throws(
    () =>
      merged(
        `env: { A: ${'x'.repeat(4000)}, B: ${'x'.repeat(4000)}, C: ${'x'.repeat(4000)}, D: ${'x'.repeat(4000)}, E: ${'x'.repeat(4000)} }`,
      ),
    {
      code: 'SERVICE_MANIFEST',
      message: /16384 at most/,
    },
  );
});

test('whatever is written and whatever the image says: a manifest, or a coded error', (t) => {
  const value = fc.jsonValue({ maxDepth: 3 });
  const field = fc.constantFrom(
    'command',
    'env',
    'stop',
    'ports',
    'user',
    'state',
    'limits',
    'health',
    '__proto__',
  );
  fc.assert(
    fc.property(
      fc.dictionary(field, value),
      fc.dictionary(field, value),
      fc.string(),
      (written, said, text) => {
        for (const work of [() => merge(written, said, null), () => readWritten(text)]) {
          try {
            work();
          } catch (error) {
            t.true(error instanceof BootwaveError && error.code === 'SERVICE_MANIFEST', String(error));
          }
        }
      },
    ),
  );
});
