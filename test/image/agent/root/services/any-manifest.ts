/** Manifests that a hostile publisher could write: every word is any text that the schema lets through. */
import fc from 'fast-check';
import { type Manifest, manifestSchema } from '../../../../../protocol/service/manifest.ts';

const word = fc
  .oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.constantFrom(
      '\n[Service]\nExecStart=/bin/sh',
      '%n %i %%',
      '$PATH $(id) `id`',
      '"; rm -rf /',
      "'",
      '\\\n',
      '{ } ; drop',
      '# x',
      '--privileged',
    ),
  )
  .map((text) => text.replaceAll('\0', ''));
const port = fc.integer({ min: 1, max: 65_535 });
const protocol = fc.constantFrom('tcp' as const, 'udp' as const);
const path = fc
  .array(fc.stringMatching(/^[\w+@-][\w.+@-]{0,8}$/), { minLength: 1, maxLength: 3 })
  .map((parts) => `/x/${parts.join('/')}`);
const label = fc.stringMatching(/^[a-z][0-9a-z]{0,8}$/);
const network = fc.oneof(
  fc.tuple(fc.ipV4(), fc.integer({ min: 0, max: 32 })).map(([ip, length]) => `${ip}/${length}`),
  fc.ipV4(),
  fc.ipV6(),
);
const unique = <T>(all: fc.Arbitrary<T>, key: (one: T) => string, maxLength: number) =>
  fc.uniqueArray(all, { selector: key, maxLength });

const health = fc.record({
  check: fc.oneof(
    fc.record({
      kind: fc.constant('exec' as const),
      command: fc.array(word, { minLength: 1, maxLength: 4 }),
    }),
    fc.record({ kind: fc.constant('tcp' as const), port }),
    fc.record({ kind: fc.constant('http' as const), port, path: fc.stringMatching(/^\/[!-~]{0,20}$/) }),
  ),
  timeout: fc.integer({ min: 1, max: 60 }),
});

export const anyManifest: fc.Arbitrary<Manifest> = fc
  .record(
    {
      command: fc.array(word, { minLength: 1, maxLength: 6 }),
      env: fc.dictionary(fc.stringMatching(/^[A-Za-z_]\w{0,8}$/), word, {
        maxKeys: 4,
        noNullPrototype: true,
      }),
      workdir: path,
      user: fc.record({
        uid: fc.integer({ min: 0, max: 65_534 }),
        gid: fc.integer({ min: 0, max: 65_534 }),
      }),
      ports: unique(fc.record({ name: label, protocol, port }), ({ port: number }) => `${number}`, 4).map(
        (all) => all.map((one, i) => ({ ...one, name: `${one.name}${i}` })),
      ),
      egress: fc.array(fc.record({ to: network, protocol, port: fc.option(port) }), { maxLength: 4 }),
      state: fc.option(fc.record({ path, bytes: fc.integer({ min: 2 ** 20, max: 2 ** 30 }) })),
      tmpfs: unique(
        fc.record({ path, bytes: fc.integer({ min: 4096, max: 2 ** 20 }) }),
        ({ path: at }) => at,
        3,
      ),
      mounts: unique(
        fc.record({ kind: fc.constant('images' as const), path: path.map((at) => `/m${at}`) }),
        ({ path: at }) => at,
        2,
      ).filter((all) => all.length > 0),
      limits: fc.record({
        memory: fc.integer({ min: 2 ** 20, max: 2 ** 32 }),
        cpu: fc.integer({ min: 1, max: 400 }),
        tasks: fc.integer({ min: 1, max: 512 }),
        io: fc.option(
          fc.record({
            read: fc.integer({ min: 1, max: 2 ** 30 }),
            write: fc.integer({ min: 1, max: 2 ** 30 }),
          }),
        ),
      }),
      health: fc.option(health),
      stop: fc.record({
        signal: fc.constantFrom('SIGTERM' as const, 'SIGINT' as const, 'SIGQUIT' as const),
        timeout: fc.integer({ min: 1, max: 120 }),
      }),
    },
    { requiredKeys: ['command', 'limits'] },
  )
  .map((given) => manifestSchema.parse(given));

/** The least that a manifest says, and more. */
export const manifestOf = (more: object = {}): Manifest =>
  manifestSchema.parse({ command: ['/bin/x'], limits: { memory: 2 ** 26, cpu: 100, tasks: 32 }, ...more });
