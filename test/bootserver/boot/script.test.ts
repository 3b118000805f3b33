import test from 'ava';
import { linkLocal } from '../../../bootserver/boot/ipxe-ipv6.ts';
import { ipxeScript } from '../../../bootserver/boot/script.ts';
import type { BootIntent } from '../../../bootserver/directory.ts';

const base = { serverIp: '10.5.0.1', httpPort: 8080 };
const mac = '52:54:00:00:00:02';
const folder = 'http://10.5.0.1:8080/m/52-54-00-00-00-02';
const script = (intent: BootIntent, cmdline = 'console=ttyS0 panic=10') =>
  ipxeScript({ base, mac, intent, cmdline });
const image: BootIntent = { kind: 'image', version: '1.2.3', reason: 'new' };

test('the script boots the UKI on UEFI, kernel and initrd on BIOS, and asks anew after a failure', (t) => {
  const lines = script(image).split('\n');
  t.is(lines[0], '#!ipxe');
  const part = (label: string) => {
    const start = lines.indexOf(label);
    return lines.slice(start + 1, lines.indexOf('', start)).join('\n');
  };
  t.true(
    part(':efi').includes(
      `\nkernel --name \${bw-mark:string} ${folder}/bootwave_1.2.3.efi || goto failed\nboot`,
    ),
  );
  // A name that begins with a control character: systemd-stub then keeps the image's own command line.
  t.true(part(':efi').startsWith('set bw-mark:hex 01\n'));
  t.true(
    part(':bios').startsWith(
      `kernel ${folder}/1.2.3/linux console=ttyS0 panic=10 || goto failed\ninitrd ${folder}/1.2.3/initrd || goto failed\nboot`,
    ),
  );
  t.regex(part(':failed'), new RegExp(`chain --replace --autofree ${folder}/boot.ipxe`));
  t.true(lines.includes('reboot'));
});

test('installed and refused machines leave iPXE with a failure status, so that firmware goes on', (t) => {
  for (const kind of ['disk', 'refuse'] as const) {
    const text = script({ kind, reason: 'secret reason' });
    t.true(text.endsWith('\nexit 1\n'));
    t.false(text.includes('secret'));
  }
});

test('nothing that iPXE would expand or split gets into a script', (t) => {
  for (const cmdline of ['a && shell', 'a || shell', '$' + '{net0/ip}', 'a\nshell', 'a # b', 'a "b"']) {
    t.is((t.throws(() => script(image, cmdline)) as { code?: string } | undefined)?.code, 'CMDLINE_INVALID');
  }
  t.throws(() => ipxeScript({ base, mac: '52:54:00:00:00:02\nshell', intent: image, cmdline: '' }));
});

test('the link-local address of a MAC address (RFC 4291 appendix A)', (t) => {
  t.is(linkLocal('52:54:00:12:34:56'), 'fe80::5054:ff:fe12:3456');
  t.is(linkLocal('00:00:00:00:00:01'), 'fe80::200:ff:fe00:1');
});
