/**
 * KVM is used only when a tiny guest has proved it: /dev/kvm may open and then hang every guest, or emulate it more
 * slowly than TCG does.
 */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../base/run.ts';
import type { Accelerator } from './machine.ts';

/**
 * A boot sector at 0x7c00 that goes where such a KVM fails: it sets up page tables (PML4 at 0x1000, PDPT at 0x2000, one
 * 2 MiB page at 0x3000), enters long mode (Intel SDM vol. 3 10.8.5), counts 50 million down, and writes 0x2a to
 * port 0xf4, where QEMU's isa-debug-exit turns it into exit code 2 * 0x2a + 1.
 */
const GUEST = [
  'fa 31c0 8ed8 8ec0', // cli; ds = es = 0
  '66bf00100000 0f22df', // edi = cr3 = 0x1000
  '6631c0 66b9000c0000 fc 66f3ab', // clear three pages
  'c70600100320 c70600200330 c70600308300', // PML4[0], PDPT[0], PD[0]
  '0f20e0 0c20 0f22e0', // CR4.PAE
  '66b9800000c0 0f32 80cc01 0f30', // EFER.LME
  '0f0116787c', // lgdt [0x7c78]
  '0f20c0 660d01000080 0f22c0', // CR0.PE and CR0.PG
  'ea5a7c0800', // jump into the 64-bit segment, at 0x7c5a
  'b980f0fa02 ffc9 75fc', // ecx = 50,000,000; count down
  'b02a e6f4 f4', // out 0xf4, 0x2a; hlt
  '0000000000000000', // null descriptor, at 0x7c68
  '00000000009a2000', // 64-bit code descriptor
  '0f00 687c0000', // GDT register: limit 15, base 0x7c68
];

const PASSED = 2 * 0x2a + 1;
/** TCG needs about 0.2 s here; a KVM worth having needs less. */
const DEADLINE_MS = 3000;

export function guestDisk(): Buffer {
  const code = Buffer.from(GUEST.join('').replaceAll(' ', ''), 'hex');
  const disk = Buffer.alloc(1 << 20);
  code.copy(disk);
  disk.writeUInt16LE(0xaa55, 510);
  return disk;
}

export type Proof = {
  /** For a temporary file, removed again. */
  folder: string;
  /** Whether System Management Mode is needed too, as Secure Boot needs it. */
  smm: boolean;
  signal?: AbortSignal | undefined;
  /** Milliseconds; 3000 by default. */
  deadline?: number;
  guest?: Buffer;
};

/** Runs the guest and says whether it came through in time. */
export async function proveAccelerator(accelerator: Accelerator, proof: Proof): Promise<boolean> {
  const { folder, smm, signal, deadline = DEADLINE_MS, guest = guestDisk() } = proof;
  const disk = join(folder, `proof-${process.pid}.img`);
  try {
    await writeFile(disk, guest);
    const { code } = await run(
      'qemu-system-x86_64',
      [
        ...['-machine', `q35,smm=${smm ? 'on' : 'off'}`, '-accel', accelerator],
        ...['-cpu', accelerator === 'kvm' ? 'host' : 'max', '-m', '64'],
        ...['-nodefaults', '-no-user-config', '-display', 'none'],
        ...['-drive', `if=virtio,format=raw,file=${disk}`],
        ...['-device', 'isa-debug-exit,iobase=0xf4,iosize=1'],
      ],
      { timeout: deadline, ...(signal === undefined ? {} : { signal }) },
    );
    return code === PASSED;
  } finally {
    await rm(disk, { force: true });
  }
}
