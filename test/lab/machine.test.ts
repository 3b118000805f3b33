import test from 'ava';
import {
  checkFolder,
  nodeFiles,
  PLAIN_PXE_SCRIPT,
  type PowerOverrides,
  qemuArguments,
  tpmArguments,
} from '../../lab/machine.ts';
import { type NodeSpec, placeNodes } from '../../lab/spec.ts';

const files = nodeFiles('/lab/nodes/n');

function args(spec: Omit<NodeSpec, 'name'>, overrides: PowerOverrides = {}): string[] {
  const [node] = placeNodes('a', [{ name: 'n', ...spec }]);
  return qemuArguments(node!, files, 'tcg', overrides);
}

/** The values of one option, in order. */
const of = (list: string[], option: string) => list.filter((_, i) => list[i - 1] === option);
const device = (list: string[], kind: string) =>
  of(list, '-device').find((value) => value.startsWith(kind)) ?? '';

test('Secure Boot: SMM, firmware that can enforce it, variables that only the firmware writes', (t) => {
  const list = args({ firmware: 'http' });
  t.deepEqual(of(list, '-machine'), ['q35,smm=on']);
  t.deepEqual(of(list, '-global'), ['driver=cfi.pflash01,property=secure,value=on']);
  t.deepEqual(of(list, '-drive').slice(0, 2), [
    'if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.secboot.fd',
    'if=pflash,unit=1,format=raw,file=/lab/nodes/n/vars.fd',
  ]);
});

test('without Secure Boot the plain firmware runs without SMM', (t) => {
  const list = args({ firmware: 'pxe', secureBoot: false });
  t.deepEqual(of(list, '-machine'), ['q35,smm=off']);
  t.deepEqual(of(list, '-global'), []);
  t.regex(of(list, '-drive')[0] ?? '', /OVMF_CODE_4M\.fd$/);
});

test('http goes straight to HTTP Boot, pxe keeps PXEv4, neither waits for IPv6', (t) => {
  const http = of(args({ firmware: 'http' }), '-fw_cfg');
  const pxe = of(args({ firmware: 'pxe' }), '-fw_cfg');
  t.deepEqual(http, [
    'name=opt/org.tianocore/IPv4PXESupport,string=n',
    'name=opt/org.tianocore/IPv6Support,string=n',
  ]);
  t.deepEqual(pxe, ['name=opt/org.tianocore/IPv6Support,string=n']);
  t.deepEqual(of(args({ firmware: 'http6' }), '-fw_cfg'), [
    'name=opt/org.tianocore/IPv4Support,string=n',
    'name=opt/org.tianocore/IPv6PXESupport,string=n',
  ]);
});

test(`UEFI uses EDK2's network stack, BIOS QEMU's own ROM`, (t) => {
  t.regex(device(args({ firmware: 'pxe' }), 'virtio-net-pci'), /,romfile=$/);
  t.notRegex(device(args({ firmware: 'bios' }), 'virtio-net-pci'), /romfile/);
});

test('a plain BIOS ROM is played by iPXE with a script; the ipxe one is not', (t) => {
  const plain = args({ firmware: 'bios' });
  t.deepEqual([of(plain, '-kernel'), of(plain, '-initrd')], [['/usr/lib/ipxe/ipxe.lkrn'], [files.plainPxe]]);
  t.deepEqual(of(args({ firmware: 'bios', pxeRom: 'ipxe' }), '-kernel'), []);
  t.deepEqual(of(args({ firmware: 'bios' }, { boot: 'disk' }), '-kernel'), []);
  // What is left set would be taken over by the iPXE that is loaded next, and it would be asked to load itself for ever.
  t.regex(PLAIN_PXE_SCRIPT, /set user-class .*\ndhcp .*\nclear user-class\n.*\nchain /s);
});

test('UEFI keeps its own order unless another is asked for; a BIOS asks the network first', (t) => {
  const order = (list: string[], kind: string) => /bootindex=(\d)/.exec(device(list, kind))?.[1];
  const usual = args({});
  t.deepEqual([order(usual, 'virtio-net-pci'), order(usual, 'virtio-blk-pci')], [undefined, undefined]);
  const network = args({}, { boot: 'network' });
  t.deepEqual([order(network, 'virtio-net-pci'), order(network, 'virtio-blk-pci')], ['1', '2']);
  const disk = args({ disk: 'nvme' }, { boot: 'disk' });
  t.deepEqual([order(disk, 'virtio-net-pci'), order(disk, 'nvme')], ['2', '1']);
  const bios = args({ firmware: 'bios' });
  t.deepEqual([order(bios, 'virtio-net-pci'), order(bios, 'virtio-blk-pci')], ['1', '2']);
});

test('a machine is resumed from a file whatever it is called', (t) => {
  t.deepEqual(of(args({}, { resume: "/lab/it's here" }), '-incoming'), ["exec:cat < '/lab/it'\\''s here'"]);
  t.deepEqual(of(args({}), '-incoming'), []);
});

test('a TPM only where there is one', (t) => {
  t.is(device(args({ firmware: 'http' }), 'tpm-tis'), 'tpm-tis,tpmdev=tpm0');
  t.is(device(args({ firmware: 'http', tpm: false }), 'tpm-'), '');
  t.is(device(args({ firmware: 'bios' }), 'tpm-'), '');
  t.true(tpmArguments(files).includes('--terminate'), 'it must end with its machine');
});

test('the console goes to a socket and a log that later power-ons append to', (t) => {
  t.is(
    of(args({}), '-chardev').find((value) => value.includes('id=console')),
    'socket,id=console,path=/lab/nodes/n/console.sock,server=on,wait=off,logfile=/lab/nodes/n/console.log,logappend=on',
  );
});

test('a hung machine is reset by its watchdog', (t) => {
  t.is(device(args({}), 'i6300esb'), 'i6300esb');
  t.deepEqual(of(args({}), '-action'), ['watchdog=reset']);
});

test('an emulated UEFI machine forgets at a reset what lay where its firmware will', (t) => {
  const at = (memoryMiB: number) => device(args({ memoryMiB }), 'loader');
  t.is(at(2048), 'loader,file=/lab/nodes/n/blank,addr=0x7c000000,force-raw=on');
  t.regex(at(256), /,addr=0xc000000,/);
  t.regex(at(4096), /,addr=0x7c000000,/, 'the rest is above 4 GiB');
  t.is(device(args({ firmware: 'bios' }), 'loader'), '');
});

test('SMBIOS tells who it is', (t) => {
  const [smbios = ''] = of(args({}), '-smbios');
  t.regex(
    smbios,
    /^type=1,.*serial=BW-A-N,uuid=[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  );
});

test('a direct start takes kernel, initrd and command line', (t) => {
  const kernel = { kernel: '/k', initrd: '/i', append: 'console=ttyS0 a=b' };
  const list = args({ firmware: 'bios' }, { kernel, memoryMiB: 512 });
  t.deepEqual(
    [of(list, '-kernel'), of(list, '-initrd'), of(list, '-append'), of(list, '-m')],
    [['/k'], ['/i'], ['console=ttyS0 a=b'], ['512']],
  );
});

test('refused: folders that sockets cannot be named in', (t) => {
  t.notThrows(() => checkFolder('/var/lib/bootwave-lab/a'));
  t.throws(() => checkFolder(`/${'x'.repeat(80)}`), { code: 'LAB_FOLDER' });
  t.throws(() => checkFolder('/tmp/a,b'), { code: 'LAB_FOLDER' });
});
