/** What machines of the tests are and say; for benches as well, which run without ava. */
import { createHash } from 'node:crypto';
import type { Enrolment } from '../../../protocol/enrolment/enrolment.ts';
import type { Heartbeat } from '../../../protocol/enrolment/heartbeat.ts';
import type { Inventory } from '../../../protocol/enrolment/inventory.ts';

export const START = 1_800_000_000_000;

/** PCR 11 of an image of this version, all of which are published but `unpublished`. */
export const measured = (version: string) => createHash('sha256').update(version).digest('hex');
export const pcr11 = async (version: string) => (version === 'unpublished' ? null : measured(version));

/** What a machine quotes that has booted this version, with these Secure Boot keys. */
export const quoted = (version: string, pcr7: string): Record<string, string> => ({
  ...{ '7': pcr7, '11': measured(version) },
  ...{ '12': '00'.repeat(32), '13': '00'.repeat(32) },
});

/** Six digits that all have in common, then the number: automatic names collide at first. */
const digest = (n: number, letter: string) =>
  letter.repeat(6) + n.toString(16).padStart(8, '0') + letter.repeat(50);

export function inventory(n: number, change: Partial<Inventory> = {}): Inventory {
  return {
    uuid: `00000000-0000-0000-0000-${String(n).padStart(12, '0')}`,
    manufacturer: 'QEMU',
    product: 'Standard PC',
    serial: `SN${n}`,
    firmware: { kind: 'uefi', vendor: 'EDK II', version: '1', date: '01/01/2024' },
    secureBoot: 'on',
    cpu: { model: 'CPU', threads: 2 },
    memory: 2 ** 31,
    nics: [{ name: 'eth0', mac: macOf(n), driver: 'virtio_net', speed: null }],
    disks: [{ name: 'vda', size: 2 ** 33, model: '', serial: '', rotational: false }],
    tpm: { manufacturer: 'IBM', firmware: '1' },
    ...change,
  };
}

export function macOf(n: number): string {
  const hex = n.toString(16).padStart(6, '0');
  return `52:54:00:${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4, 6)}`;
}

/** Machine number `n` in boot number `boot`: a new boot has new keys, the same TPM. */
export function enrolment(n: number, boot = 1, change: Partial<Enrolment> = {}): Enrolment {
  const ek = digest(n, 'a');
  return {
    id: `tpm-${ek}`,
    ekDigest: ek,
    akName: `000b${digest(n, 'b')}`,
    spkiDigest: digest(n * 1000 + boot, 'c'),
    hostKey: `ssh-ed25519 AAAA${n}x${boot}`,
    words: ['one', 'two', `n${n}`, `b${boot}`],
    inventory: inventory(n),
    running: { version: '1.0', kernel: '6.1.0', bootId: `boot-${n}-${boot}` },
    ekCertificate: { verified: true, reason: 'issued by CN=maker' },
    pcrs: quoted(change.running?.version ?? '1.0', digest(n, 'd')),
    clock: { milliseconds: 1000 * boot, resets: boot, restarts: 0, safe: true },
    // As if the nonce had been given this moment: nothing that is known is newer.
    nonceNumber: Number.MAX_SAFE_INTEGER,
    firmware: { secureBoot: true, foreign: [], optionRoms: [] },
    token: null,
    address: `10.0.0.${n % 250}`,
    at: START,
    ...change,
  };
}

/** The same machine without a TPM. */
export function withoutTpm(n: number, boot = 1, change: Partial<Enrolment> = {}): Enrolment {
  return enrolment(n, boot, {
    id: `dev-${digest(n, 'e')}`,
    ekDigest: null,
    akName: null,
    ekCertificate: null,
    pcrs: null,
    clock: null,
    firmware: null,
    inventory: inventory(n, { tpm: null }),
    ...change,
  });
}

export function certificateFor(e: Enrolment, serial = `5e${e.spkiDigest.slice(0, 14)}`) {
  return { serial, spkiDigest: e.spkiDigest, notBefore: START, notAfter: START + 86_400_000 };
}

export function beatOfBoot(e: Enrolment, change: Partial<Heartbeat> = {}): Heartbeat {
  return { running: e.running, uptime: 60, healthy: true, reason: '', ...change };
}
