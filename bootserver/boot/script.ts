import { BootwaveError } from '../../base/error.ts';
import type { BootIntent } from '../directory.ts';
import { type BootBase, imageUrl, initrdUrl, kernelUrl, scriptUrl } from './urls.ts';

export type ScriptQuestion = {
  base: BootBase;
  /** Lower case with colons, as the URL names it. */
  mac: string;
  intent: BootIntent;
  /** Kernel command line for BIOS machines, printable ASCII without iPXE's `$`, `&`, `|`, `#` and quotes. */
  cmdline: string;
};

/** Attempts before the machine restarts and begins anew with DHCP: 2 + 4 + ... + 64 s, then 64 s each. */
const ATTEMPTS = 10;

/**
 * iPXE hands the image's name to UEFI as its load options, and without Secure Boot systemd-stub takes load options
 * for the kernel's command line: the console and panic settings were lost. The stub ignores load options that begin
 * with a control character (systemd 252, `use_load_options`), so the image's name begins with one. Measured: without
 * this the same image prints nothing on its serial console.
 */
const NO_CMDLINE = '01';

/**
 * The iPXE script of one machine. One script serves both firmwares: iPXE's own `platform` setting says which it is, so
 * nothing that came over the wire is written into it but the MAC address, whose form is checked.
 * @throws BootwaveError `IMAGE_VERSION_INVALID`, `CMDLINE_INVALID`
 */
export function ipxeScript(question: ScriptQuestion): string {
  const { intent } = question;
  switch (intent.kind) {
    case 'image':
      return imageScript(question, intent.version);
    case 'disk':
      // A failure status: after a success EDK2 opens its boot menu instead of trying the next boot option.
      return leave('Bootwave: this machine is installed, going on to its own disk.');
    case 'refuse':
      return leave('Bootwave: this machine may not boot from the network here; ask the site admin.');
  }
}

function leave(sentence: string): string {
  return `#!ipxe\necho ${sentence}\nexit 1\n`;
}

function imageScript({ base, mac, cmdline }: ScriptQuestion, version: string): string {
  if (!/^[A-Za-z0-9 =,.:;/@%+_-]*$/.test(cmdline)) {
    throw new BootwaveError({
      code: 'CMDLINE_INVALID',
      what: 'the kernel command line holds characters that an iPXE script cannot carry',
      unchanged: 'nothing was sent to the machine',
      next: 'build the image with a plain command line',
    });
  }
  const again = scriptUrl(base, mac);
  return `#!ipxe
echo Bootwave: starting image ${version}
isset \${bw-wait} || set bw-wait:int32 2
isset \${bw-tries} || set bw-tries:int32 0
imgfree
iseq \${platform} efi && goto efi ||

:bios
kernel ${kernelUrl(base, mac, version)} ${cmdline} || goto failed
initrd ${initrdUrl(base, mac, version)} || goto failed
boot || goto failed

:efi
set bw-mark:hex ${NO_CMDLINE}
kernel --name \${bw-mark:string} ${imageUrl(base, mac, version)} || goto failed
boot || goto failed

:failed
imgfree
inc bw-tries
iseq \${bw-tries} ${ATTEMPTS} && goto anew ||
echo Bootwave: the image could not be fetched or started, trying again in \${bw-wait} seconds (attempt \${bw-tries} of ${ATTEMPTS}).
sleep \${bw-wait}
iseq \${bw-wait} 64 || inc bw-wait \${bw-wait}
chain --replace --autofree ${again} || goto failed

:anew
echo Bootwave: giving up after ${ATTEMPTS} attempts, restarting this machine to begin anew.
sleep 10
reboot
`;
}
