import test from 'ava';
import { type BootAnswer, bootAnswer } from '../../../bootserver/boot/answer.ts';
import { type BootClient, readBootClient } from '../../../bootserver/boot/client.ts';
import { QUIRKS, type Role } from '../../../bootserver/boot/quirks.ts';
import type { BootIntent } from '../../../bootserver/directory.ts';
import { bytesText, OPTION, readSubOptions, textBytes } from '../../../formats/dhcp/options.ts';
import { parsePacket } from '../../../formats/dhcp/packet.ts';
import { CAPTURES } from './captures.ts';

const base = { serverIp: '10.5.0.1', httpPort: 80 };
const mac = '52:54:00:00:00:02';
const image: BootIntent = { kind: 'image', version: '1.2.3', reason: 'new' };
const disk: BootIntent = { kind: 'disk', reason: 'installed' };

function captured(name: string): BootClient {
  const client = readBootClient(parsePacket(CAPTURES.get(name)!).options);
  if (client === undefined) throw new Error(`${name} does not ask to be booted`);
  return client;
}

function ask(client: BootClient, role: Role, intent: BootIntent = image): BootAnswer {
  return bootAnswer({ client, mac, intent, role, base });
}

/** `file | option 60 | option 43 in hex | option 66`, or the step when there is no boot part. */
function told(answer: BootAnswer): string {
  if (answer.kind === 'none') return answer.step;
  const options = new Map(answer.part.options);
  const asText = (code: number) => bytesText(options.get(code)) ?? '';
  const file = answer.part.file;
  if (asText(OPTION.bootFile) !== file) throw new Error('option 67 and the file field differ');
  return [file, asText(60), Buffer.from(options.get(43) ?? []).toString('hex'), asText(66)].join(' | ');
}

const SCRIPT = 'http://10.5.0.1:80/m/52-54-00-00-00-02/boot.ipxe';
const UKI = 'http://10.5.0.1:80/m/52-54-00-00-00-02/bootwave_1.2.3.efi';

test('every capture is told apart: firmware, iPXE or not, UUID as Linux shows it', (t) => {
  const seen = [...CAPTURES.keys()].map((name) => {
    const { firmware, ipxe, uuid } = captured(name);
    return `${name}: ${firmware.name}${ipxe ? ' ipxe' : ''} ${uuid}`;
  });
  const uuid = '11223344-5566-7788-99aa-bbccddeeff00';
  t.deepEqual(seen.sort(), [
    'bios-rom-bare-discover: bios undefined',
    `bios-rom-discover: bios ${uuid}`,
    `edk2-http-discover: uefi-x64-http ${uuid}`,
    `edk2-http-request: uefi-x64-http ${uuid}`,
    `edk2-pxe-4011: uefi-x64 ${uuid}`,
    `edk2-pxe-discover: uefi-x64 ${uuid}`,
    `edk2-pxe-request: uefi-x64 ${uuid}`,
    `ipxe-bios-discover: bios ipxe ${uuid}`,
    `ipxe-bios-request: bios ipxe ${uuid}`,
    `ipxe-uefi-discover: uefi-x64 ipxe ${uuid}`,
    `ipxe-uefi-request: uefi-x64 ipxe ${uuid}`,
  ]);
});

test('every row of the quirk table has a packet that leads to it', (t) => {
  const ways = new Set(
    [...CAPTURES.keys()].map((name) => {
      const { ipxe, firmware } = captured(name);
      return ipxe ? 'ipxe' : firmware.way;
    }),
  );
  t.deepEqual([...ways].sort(), Object.keys(QUIRKS).sort());
});

test('BIOS ROMs, also those that leave out all that they may, take undionly iPXE, or go on to their disk', (t) => {
  for (const name of ['bios-rom-discover', 'bios-rom-bare-discover']) {
    const client = captured(name);
    t.is(told(ask(client, 'full')), 'undionly.kpxe |  |  | 10.5.0.1');
    t.is(told(ask(client, 'proxy')), 'undionly.kpxe | PXEClient | 060108ff | 10.5.0.1');
    t.is(told(ask(client, 'full', disk)), 'left-to-disk');
  }
});

test('UEFI HTTP Boot takes the image itself, from a full server and beside another one', (t) => {
  const client = captured('edk2-http-discover');
  t.is(told(ask(client, 'full')), `${UKI} | HTTPClient |  | `);
  t.is(told(ask(client, 'proxy')), `${UKI} | HTTPClient |  | `);
});

test('UEFI PXE takes the signed iPXE; a proxy sends it to port 4011 first', (t) => {
  const client = captured('edk2-pxe-discover');
  t.is(told(ask(client, 'full')), 'ipxe.efi |  |  | 10.5.0.1');
  t.is(told(ask(client, 'proxy')), ' | PXEClient |  | ');
  t.is(told(ask(captured('edk2-pxe-4011'), '4011')), 'ipxe.efi | PXEClient |  | 10.5.0.1');
});

test('iPXE of either firmware takes the script, never a loader again', (t) => {
  for (const name of ['ipxe-uefi-discover', 'ipxe-bios-discover']) {
    t.is(told(ask(captured(name), 'full')), `${SCRIPT} |  |  | `);
    t.is(told(ask(captured(name), 'proxy')), `${SCRIPT} | PXEClient |  | `);
  }
});

test('a full server tells iPXE not to wait for a proxy; beside another server it must wait', (t) => {
  const client = captured('ipxe-bios-discover');
  const option = (role: Role) => {
    const answer = ask(client, role);
    return answer.kind === 'boot' ? new Map(answer.part.options).get(OPTION.ipxe) : undefined;
  };
  t.deepEqual(option('full'), Uint8Array.of(176, 1, 1));
  t.is(option('proxy'), undefined);
});

const rom = (arch: number[] | undefined, more: [number, Uint8Array][] = [], vendorClass = 'PXEClient') => {
  const options = new Map<number, Uint8Array>([[OPTION.vendorClass, textBytes(vendorClass)], ...more]);
  if (arch !== undefined) options.set(OPTION.architecture, Uint8Array.from(arch));
  return readBootClient(options)!;
};

test('a BIOS ROM takes undionly iPXE, from a proxy with discovery switched off', (t) => {
  for (const arch of [[0, 0], undefined, []]) {
    t.is(told(ask(rom(arch), 'full')), 'undionly.kpxe |  |  | 10.5.0.1');
    t.is(told(ask(rom(arch), 'proxy')), 'undionly.kpxe | PXEClient | 060108ff | 10.5.0.1');
    t.is(told(ask(rom(arch), '4011')), 'undionly.kpxe | PXEClient | 060108ff | 10.5.0.1');
  }
});

test('without option 93, or with half of it, the architecture is what option 60 says', (t) => {
  const named = (vendorClass: string, arch?: number[]) => rom(arch, [], vendorClass).firmware.name;
  t.is(named('PXEClient:Arch:00007:UNDI:003016'), 'uefi-x64');
  t.is(named('PXEClient:Arch:00009'), 'uefi-x64');
  t.is(named('PXEClient:Arch:00000:UNDI:002001'), 'bios');
  t.is(named('PXEClient:Arch:00011:UNDI:003000', [7]), 'uefi-arm64');
  t.is(named('HTTPClient:Arch:00016:UNDI:003001'), 'uefi-x64-http');
  t.is(named('PXEClient:Arch:00007:UNDI:003016\0\xff', []), 'uefi-x64');
  // Option 93 is the one that counts, and rubbish counts as nothing said.
  t.is(named('PXEClient:Arch:00000', [0, 7]), 'uefi-x64');
  for (const odd of ['PXEClient', 'PXEClient:Arch:7', 'PXEClient:Arch:000070', 'PXEClient:Arch:xxxxx']) {
    t.is(named(odd), 'bios', odd);
  }
  t.is(named('PXEClient:Arch:00099'), 'unknown-99');
});

test('a machine identifier that is missing or odd is no reason not to boot', (t) => {
  for (const value of [undefined, [], [0], [1, ...Array(16).fill(7)], Array(18).fill(0)]) {
    const more =
      value === undefined ? [] : [[OPTION.machineId, Uint8Array.from(value)] as [number, Uint8Array]];
    const client = rom([0, 7], more);
    t.is(client.uuid, undefined);
    t.is(told(ask(client, 'full')), 'ipxe.efi |  |  | 10.5.0.1');
  }
});

test('file and server of a TFTP answer end with NUL inside their options; URLs are exactly themselves', (t) => {
  const ends = (client: BootClient, role: Role, code: number) => {
    const answer = ask(client, role);
    return answer.kind === 'boot' ? new Map(answer.part.options).get(code)?.at(-1) : undefined;
  };
  for (const role of ['full', 'proxy', '4011'] as const) {
    t.is(ends(rom([0, 0]), role, OPTION.bootFile), 0);
    t.is(ends(rom([0, 0]), role, OPTION.tftpServer), 0);
  }
  t.is(ends(captured('edk2-http-discover'), 'full', OPTION.bootFile), 'i'.charCodeAt(0));
  t.is(ends(captured('ipxe-bios-discover'), 'full', OPTION.bootFile), 'e'.charCodeAt(0));
});

test('iPXE is known by user class in both forms and by option 175; without HTTP it is a plain ROM', (t) => {
  const http = [0x13, 1, 1];
  t.true(rom([0, 0], [[OPTION.userClass, textBytes('iPXE')]]).ipxe);
  t.true(rom([0, 0], [[OPTION.userClass, textBytes('\x04iPXE')]]).ipxe);
  t.true(rom([0, 0], [[OPTION.ipxe, Uint8Array.from(http)]]).ipxe);
  t.false(
    rom(
      [0, 0],
      [
        [OPTION.userClass, textBytes('iPXE')],
        [OPTION.ipxe, Uint8Array.of(0x19, 1, 1)],
      ],
    ).ipxe,
  );
  t.true(rom([0, 0], [[OPTION.ipxe, new Uint8Array()]]).ipxe);
  t.false(rom([0, 0], [[OPTION.userClass, textBytes('gPXE')]]).ipxe);
});

test('architectures: 7 and 9 are x64, a list is searched, those without an image are refused by name', (t) => {
  t.is(told(ask(rom([0, 7]), 'full')), 'ipxe.efi |  |  | 10.5.0.1');
  t.is(told(ask(rom([0, 9]), 'full')), 'ipxe.efi |  |  | 10.5.0.1');
  t.is(told(ask(rom([0, 6, 0, 7]), 'full')), 'ipxe.efi |  |  | 10.5.0.1');
  for (const [arch, name] of [
    [11, 'uefi-arm64'],
    [6, 'uefi-ia32'],
    [99, 'unknown-99'],
  ] as const) {
    t.like(ask(rom([0, arch]), 'full'), {
      kind: 'none',
      step: 'refused',
      detail: `no image is built for ${name}`,
    });
  }
  t.is(told(ask(rom([0, 19], [], 'HTTPClient'), 'full')), 'refused');
});

test('left to its disk: each firmware is told in the way that it understands', (t) => {
  t.is(told(ask(rom([0, 0]), 'full', disk)), 'left-to-disk');
  t.is(told(ask(rom([0, 0]), 'proxy', disk)), 'left-to-disk');
  t.is(told(ask(captured('ipxe-bios-discover'), 'full', disk)), `${SCRIPT} |  |  | `);
  const http = ask(captured('edk2-http-discover'), 'full', disk);
  t.is(told(http), 'http://10.5.0.1:80/m/52-54-00-00-00-02/boot-from-disk | HTTPClient |  | ');
  t.is(http.step, 'left-to-disk');
  for (const role of ['full', 'proxy', '4011'] as const) {
    const answer = ask(captured('edk2-pxe-discover'), role, disk);
    if (answer.kind !== 'boot') return t.fail();
    t.is(answer.part.file, '');
    const pxe = readSubOptions(new Map(answer.part.options).get(OPTION.vendorSpecific)!);
    // PXE 2.1: menu of one entry, type 0 "local boot", chosen after 0 seconds.
    t.deepEqual([...pxe.get(9)!.subarray(0, 2)], [0, 0]);
    t.is(pxe.get(10)![0], 0);
  }
});

test('an installed machine of an architecture without an image is still left to its disk', (t) => {
  t.is(ask(rom([0, 11]), 'full', disk).step, 'left-to-disk');
});

test('refused: no boot part in any role, with the reason', (t) => {
  for (const name of CAPTURES.keys()) {
    for (const role of ['full', 'proxy', '4011'] as const) {
      const answer = ask(captured(name), role, { kind: 'refuse', reason: 'not expected here' });
      t.like(answer, { kind: 'none', step: 'refused', detail: 'not expected here' });
    }
  }
});

test('who does not ask to be booted is no boot client', (t) => {
  for (const vendorClass of ['bootwave', 'MSFT 5.0', 'xPXEClient', '']) {
    t.is(readBootClient(new Map([[OPTION.vendorClass, textBytes(vendorClass)]])), undefined);
  }
  t.is(readBootClient(new Map()), undefined);
});

test('a version that a URL or script could not carry is refused', (t) => {
  for (const version of ['', '1/../2', '1 2', '1\n', '$' + '{x}', 'x'.repeat(65)]) {
    const error = t.throws(() =>
      ask(captured('edk2-http-discover'), 'full', { ...image, version } as BootIntent),
    );
    t.is((error as { code?: string } | undefined)?.code, 'IMAGE_VERSION_INVALID');
  }
});
