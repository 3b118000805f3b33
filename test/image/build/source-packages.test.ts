import test from 'ava';
import { sourcesIn } from '../../../image/build/source-packages.ts';

test('source packages once each, and what is signed under the name of what was signed', (t) => {
  const lines = [
    'libext2fs2 1.47.0-2+b2 e2fsprogs 1.47.0-2',
    'e2fsprogs 1.47.0-2+b2 e2fsprogs 1.47.0-2',
    'libcap2 1:2.66-4+deb12u3+b1 libcap2 1:2.66-4+deb12u3',
    'linux-image-6.1.0-56-amd64 6.1.192-2 linux-signed-amd64 6.1.192+2',
    'systemd-boot-efi-amd64-signed 252.39-1~deb12u1 systemd-boot-efi-amd64-signed 252.39.1~deb12u1',
    '',
  ];
  t.deepEqual(sourcesIn(lines.join('\n')), [
    { name: 'e2fsprogs', version: '1.47.0-2' },
    { name: 'libcap2', version: '1:2.66-4+deb12u3' },
    { name: 'linux', version: '6.1.192-2' },
    { name: 'systemd-boot-efi-amd64', version: '252.39-1~deb12u1' },
  ]);
});
