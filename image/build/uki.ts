import { createHash } from 'node:crypto';
import { LISTS_SECTION } from '../../formats/efi/secure-boot-lists.ts';
import { predictPcr11 } from '../../formats/pe/measured-sections.ts';
import { addSections } from '../../formats/pe/sections.ts';
import { signPcr11 } from '../../formats/tpm/pcr-signature.ts';

/**
 * The kernel's built-in command line. Under Secure Boot nobody can change it; without, a network boot loader may, so
 * nothing that must hold depends on it. The last console that exists is /dev/console: the serial line where there is
 * one, else the screen; the agent writes to both.
 */
export const COMMAND_LINE = [
  'console=tty0',
  'console=ttyS0,115200',
  // A panic restarts the machine after this many seconds, so that boot counting can fall back.
  'panic=10',
  // Not even root can change the running kernel or read its memory, which holds the key of the state partition
  // (kernel_lockdown(7)); modules that Debian did not sign, and kexec, are kept out as well.
  'lockdown=confidentiality',
  'vsyscall=none',
  'quiet',
  'loglevel=3',
  // Nobody reads audit records; without them every process start is cheaper.
  'audit=0',
  'systemd.show_status=no',
].join(' ');

export type UkiParts = {
  /** systemd-stub, unsigned. */
  stub: Buffer;
  osRelease: string;
  cmdline: string;
  /** PEM: the key that signs the expected PCR 11, and its public half. */
  pcrKey: { secret: Uint8Array; pub: Uint8Array };
  /** Release floors that this image satisfies, see pcr-signature.ts. */
  floors: readonly string[];
  linux: Uint8Array;
  initrd: Uint8Array;
  /** What the fleet changed in the firmware (formats/efi/secure-boot-lists.ts); null: nothing, and no section. */
  lists: Uint8Array | null;
};

export type Uki = {
  unsigned: Buffer;
  unsignedSha256: string;
  pcr11: string;
};

/** UKI as in UAPI.5 and systemd-stub(7); the large sections last, so that the small ones are in the first blocks. */
export function assembleUki(parts: UkiParts): Uki {
  const small = [
    { name: '.osrel', data: Buffer.from(parts.osRelease) },
    { name: '.cmdline', data: Buffer.from(`${parts.cmdline}\0`) },
    { name: '.pcrpkey', data: parts.pcrKey.pub },
  ];
  const large = [
    { name: '.linux', data: parts.linux },
    { name: '.initrd', data: parts.initrd },
  ];
  const pcr11 = predictPcr11(new Map([...small, ...large].map(({ name, data }) => [name, data])));
  const signature = { name: '.pcrsig', data: signPcr11(pcr11, parts.pcrKey.secret, parts.floors) };
  // Not measured: the stub does not know the name.
  const lists = parts.lists === null ? [] : [{ name: LISTS_SECTION, data: parts.lists }];
  const unsigned = addSections(parts.stub, [...small, signature, ...lists, ...large]);
  return {
    unsigned,
    unsignedSha256: createHash('sha256').update(unsigned).digest('hex'),
    pcr11,
  };
}
