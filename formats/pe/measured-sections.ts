import { sha256 } from '../digest.ts';

/** What systemd-stub 252 measures into PCR 11, in its order (systemd-stub(7), src/fundamental/tpm-pcr.h). */
const MEASURED_SECTIONS = ['.linux', '.osrel', '.cmdline', '.initrd', '.splash', '.dtb', '.pcrpkey'] as const;

/**
 * PCR 11 of the SHA-256 bank as it stands once the stub has handed over to the kernel: for every section its name
 * with the closing zero, then its content. The image masks systemd's pcrphase units, so this value also holds while
 * the agent quotes. The same as `systemd-measure calculate --bank=sha256 --phase=:`.
 * @returns 64 hex digits
 */
export function predictPcr11(sections: ReadonlyMap<string, Uint8Array>): string {
  let pcr: Buffer = Buffer.alloc(32);
  for (const name of MEASURED_SECTIONS) {
    const data = sections.get(name);
    if (data === undefined) continue;
    pcr = sha256(pcr, sha256(Buffer.from(`${name}\0`)));
    pcr = sha256(pcr, sha256(data));
  }
  return pcr.toString('hex');
}

/**
 * PCR 12 of the SHA-256 bank when systemd-boot 252 has started an image from a disk: it passes the command line that it
 * found inside the image on as load options, and measures them as UTF-16 with the closing zero (systemd 252,
 * tpm_log_load_options). Under Secure Boot the stub then uses its own. Measured: the same on an installed node.
 * @returns 64 hex digits
 */
export function loaderPcr12(commandLine: string): string {
  return sha256(Buffer.alloc(32), sha256(Buffer.from(`${commandLine}\0`, 'utf16le'))).toString('hex');
}
