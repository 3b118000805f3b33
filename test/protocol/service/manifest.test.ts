import test from 'ava';
import fc from 'fast-check';
import { manifestSchema } from '../../../protocol/service/manifest.ts';

const least = { command: ['/bin/x'], limits: { memory: 2 ** 24, cpu: 50, tasks: 16 } };

test('what is not said is the strict choice', (t) => {
  const read = manifestSchema.parse(least);
  t.deepEqual(read.ports, []);
  t.deepEqual(read.egress, []);
  t.is(read.state, null);
  t.is(read.runtime, 'crun');
});

test('what has none of the fields that came later is written as before them: older images and servers refuse others', (t) => {
  const former = [
    ...['command', 'env', 'workdir', 'user', 'ports', 'egress', 'state', 'tmpfs', 'limits', 'health', 'stop'],
    ...['dependsOn', 'architecture', 'runtime'],
  ];
  t.deepEqual(Object.keys(manifestSchema.parse(least)).sort(), former.sort());
});

const refused: [string, object][] = [
  ['no command', { command: [] }],
  ['a NUL in a word', { command: ['a\0b'] }],
  ['a name that is no variable', { env: { 'A=B': 'x' } }],
  [
    'a port twice',
    {
      ports: [
        { name: 'a', port: 80 },
        { name: 'b', port: 80 },
      ],
    },
  ],
  [
    'a name of a port twice',
    {
      ports: [
        { name: 'a', port: 80 },
        { name: 'a', port: 81 },
      ],
    },
  ],
  ['port 0', { ports: [{ name: 'a', port: 0 }] }],
  ['a network with a name', { egress: [{ to: 'example.org' }] }],
  ['a network that is too long', { egress: [{ to: '10.0.0.0/33' }] }],
  ['an interface in an address', { egress: [{ to: 'fe80::1%eth0' }] }],
  ['a way out of a folder', { state: { path: '/a/../../etc', bytes: 2 ** 20 } }],
  ['a way that is not absolute', { state: { path: 'a', bytes: 2 ** 20 } }],
  ['the root as state', { state: { path: '/', bytes: 2 ** 20 } }],
  ['state over /proc', { state: { path: '/proc/self', bytes: 2 ** 20 } }],
  ['folders of the node that are none', { mounts: [] }],
  ['a folder of the node in /dev', { mounts: [{ kind: 'images', path: '/dev/x' }] }],
  ['a folder of the node that nobody knows', { mounts: [{ kind: 'state', path: '/srv' }] }],
  [
    'a folder of the node over its state',
    { mounts: [{ kind: 'images', path: '/srv' }], state: { path: '/srv', bytes: 2 ** 20 } },
  ],
  ['memory in /dev', { tmpfs: [{ path: '/dev', bytes: 4096 }] }],
  ['a comma, which ends a mount option', { tmpfs: [{ path: '/a,exec', bytes: 4096 }] }],
  ['no memory', { limits: { memory: 0, cpu: 1, tasks: 1 } }],
  ['a field that nobody knows', { privileged: true }],
  ['a service that needs one twice', { dependsOn: ['fleet/a', 'fleet/a'] }],
  ['another runtime', { runtime: 'vm' }],
  ['health without a check', { health: {} }],
  ['a path that is no request line', { health: { check: { kind: 'http', port: 80, path: '/a b\r\nX: y' } } }],
];

for (const [what, change] of refused)
  test(`refused: ${what}`, (t) => {
    t.false(manifestSchema.safeParse({ ...least, ...change }).success);
  });

test('whatever stands in a manifest, it is read or refused, and what was read reads again as the same', (t) => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (change) => {
      const read = manifestSchema.safeParse({ ...least, ...change });
      if (read.success) t.deepEqual(manifestSchema.parse(read.data), read.data);
    }),
  );
  t.pass();
});
