import test from 'ava';
import fc from 'fast-check';
import {
  checkPorts,
  instanceRules,
  nodeEntries,
  portKeys,
} from '../../../../../image/agent/root/services/net.ts';
import { placeOf } from '../../../../../image/agent/root/services/place.ts';
import { anyManifest, manifestOf } from './any-manifest.ts';

test('what is let in and out is what was declared, whatever else a manifest says', (t) => {
  fc.assert(
    fc.property(anyManifest, (manifest) => {
      const place = placeOf(9);
      const text = instanceRules(manifest, place);
      t.is(text.match(/policy drop;/g)?.length, 3);
      const chain = (name: string) =>
        new RegExp(`chain ${name} \\{\\n([^}]*(?:\\{[^}]*\\}[^}]*)*)\\n  \\}`).exec(text)![1]!;
      const accepted = [
        ...chain('input').matchAll(/ct state new (tcp|udp) dport \{ ([\d, ]+) \} accept/g),
      ].flatMap(([, protocol, ports]) => ports!.split(', ').map((port) => `${protocol}/${port}`));
      t.deepEqual(accepted.toSorted(), portKeys(manifest.ports).toSorted());
      const out = chain('output')
        .split('\n')
        .filter((line) => line.includes('accept') && line.includes('ip daddr'));
      const declared = manifest.egress.filter(({ to }) => !to.includes(':'));
      t.deepEqual(
        out.map((line) => /ip daddr (\S+)/.exec(line)![1]!).toSorted(),
        declared.map(({ to }) => to).toSorted(),
      );
      t.true(chain('output').includes(`ip saddr != ${place.address} drop`));
      const { add, remove } = nodeEntries(manifest, place);
      t.is((add.match(/ : 198\./g) ?? []).length, manifest.ports.length);
      t.is(add.split('\n').length, remove.split('\n').length);
    }),
    { numRuns: 200 },
  );
});

test("a node's own ports are never given away", (t) => {
  const ask = (protocol: 'tcp' | 'udp', port: number) => () => checkPorts([{ protocol, port }]);
  for (const [protocol, port] of [
    ['tcp', 22],
    ['udp', 68],
    ['udp', 546],
    ['tcp', 32_768],
    ['udp', 60_999],
  ] as const)
    t.throws(ask(protocol, port), { code: 'SERVICE_PORT_RESERVED' }, `${protocol}/${port}`);
  for (const [protocol, port] of [
    ['udp', 22],
    ['tcp', 80],
    ['udp', 53],
    ['tcp', 61_000],
  ] as const)
    t.notThrows(ask(protocol, port), `${protocol}/${port}`);
});

test('the node asks for health at a port that nobody else reaches', (t) => {
  const place = placeOf(2);
  const text = instanceRules(manifestOf({ health: { check: { kind: 'tcp', port: 99 } } }), place);
  t.true(text.includes(`ct state new ip saddr ${place.gateway} tcp dport 99 accept`));
  t.false(instanceRules(manifestOf(), place).includes('ip saddr 198'));
});
