import test from 'ava';
import { type NodeSpec, placeNodes } from '../../lab/spec.ts';

const refuse = (spec: NodeSpec) => ({ spec, code: 'LAB_SPEC' });

test('a node is the same machine each time it is placed, and another in another lab', (t) => {
  const specs: NodeSpec[] = [{ name: 'n1' }, { name: 'n2', firmware: 'bios' }];
  t.deepEqual(placeNodes('a', specs), placeNodes('a', specs));
  const [here] = placeNodes('a', specs);
  const [there] = placeNodes('b', specs);
  t.not(here?.uuid, there?.uuid);
  t.not(here?.serial, there?.serial);
});

test('MAC addresses are unicast, locally administered and unlike each other', (t) => {
  const macs = placeNodes(
    'a',
    Array.from({ length: 64 }, (_, i) => ({ name: `n${i}` })),
  ).map(({ mac }) => mac);
  t.is(new Set(macs).size, 64);
  for (const mac of macs) t.is(Number.parseInt(mac.slice(0, 2), 16) & 3, 2, mac);
});

test('UEFI nodes have Secure Boot and a TPM, BIOS nodes neither unless a TPM is wanted', (t) => {
  const [http, bios, tpm] = placeNodes('a', [
    { name: 'http' },
    { name: 'bios', firmware: 'bios' },
    { name: 'tpm', firmware: 'bios', tpm: true },
  ]);
  t.like(http, { firmware: 'http', secureBoot: true, tpm: true, memoryMiB: 2048 });
  t.like(bios, { secureBoot: false, tpm: false, pxeRom: 'plain' });
  t.like(tpm, { secureBoot: false, tpm: true });
});

for (const [why, { spec, code }] of Object.entries({
  'a BIOS with Secure Boot': refuse({ name: 'n', firmware: 'bios', secureBoot: true }),
  'UEFI with a BIOS ROM': refuse({ name: 'n', pxeRom: 'plain' }),
  'too little memory': refuse({ name: 'n', memoryMiB: 128 }),
  'half a disk': refuse({ name: 'n', diskGiB: 0.5 }),
  'a multicast MAC': refuse({ name: 'n', mac: '01:00:5e:00:00:01' }),
  'no MAC at all': refuse({ name: 'n', mac: 'n1' }),
  'a name that climbs out of its folder': { spec: { name: '../n' }, code: 'LAB_NAME' },
  'a name with a comma': { spec: { name: 'n,id=x' }, code: 'LAB_NAME' },
})) {
  test(`refused: ${why}`, (t) => {
    t.throws(() => placeNodes('a', [spec]), { code });
  });
}

test('refused: two nodes with one name or one MAC', (t) => {
  t.throws(() => placeNodes('a', [{ name: 'n' }, { name: 'n' }]), { code: 'LAB_SPEC' });
  const mac = '52:54:00:00:00:01';
  t.throws(
    () =>
      placeNodes('a', [
        { name: 'n', mac },
        { name: 'm', mac },
      ]),
    { code: 'LAB_SPEC' },
  );
});
