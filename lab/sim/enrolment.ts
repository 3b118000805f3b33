/** What a simulated node says of itself to the fleet at each boot: its enrolment, its certificate, its first heartbeat. */
import { createHash } from 'node:crypto';
import type { IssuedCertificate } from '../../bootserver/directory.ts';
import type { FleetDirectory } from '../../orchestrator/fleet/directory.ts';
import type { NodeRecord } from '../../orchestrator/fleet/record.ts';
import type { Enrolment } from '../../protocol/enrolment/enrolment.ts';
import type { Heartbeat } from '../../protocol/enrolment/heartbeat.ts';
import type { SimNode } from './node.ts';

export type SimHttps = {
  /** A new key and certificate for this boot of the node; the same ones while the boot lasts. */
  certify(node: SimNode): IssuedCertificate;
  /** Sends one heartbeat with the certificate of this boot, and further ones for as long as the boot lasts. */
  beat(node: SimNode): Promise<void>;
  /** Heartbeats that the server took. */
  readonly beats: number;
  close(): Promise<void>;
};

const DAY = 86_400_000;

const digest = (...words: (string | number)[]) => createHash('sha256').update(words.join(' ')).digest('hex');

/** The id of simulated node `n`; the same in every run. */
export function simId(n: number): string {
  return `tpm-${digest('ek', n)}`;
}

/** Where simulated node `n` is: every node has an address of its own on loopback, up to 63,000 of them. */
export function simAddress(n: number): string {
  return `127.66.${1 + Math.floor(n / 250)}.${1 + (n % 250)}`;
}

/** Of the card of simulated node `n`. */
export function simMac(n: number): string {
  const hex = n.toString(16).padStart(6, '0');
  return `52:54:01:${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4)}`;
}

/** Whether a record is of a simulated node: its id is the digest of words, as that of no TPM's key ever is. */
export function isSimulated({ id, inventory }: Pick<NodeRecord, 'id' | 'inventory'>): boolean {
  const [, number] = /^SIM(\d+)$/.exec(inventory.serial ?? '') ?? [];
  return number !== undefined && id === simId(Number(number));
}

/** @param https null: certificate and heartbeat are told to the directory without a wire */
export async function enrolSim(
  directory: FleetDirectory,
  node: SimNode,
  https: SimHttps | null,
): Promise<void> {
  const certificate = https?.certify(node) ?? words(node);
  const enrolment = enrolmentOf(node, certificate.spkiDigest);
  const decision = await directory.enrol(enrolment);
  if (decision.state !== 'approved') return;
  await directory.recordCertificate(node.id, certificate);
  if (https === null) await directory.heartbeat(node.id, certificate.serial, heartbeatOf(node));
  else await https.beat(node);
}

export function heartbeatOf(node: SimNode): Heartbeat {
  const { healthy, running, bootId } = node;
  return {
    running: { version: running, kernel: '6.1.0', bootId },
    uptime: 1,
    healthy,
    reason: healthy ? '' : 'simulated illness',
  };
}

/** A certificate that nobody will ever see. */
function words(node: SimNode): IssuedCertificate {
  const spkiDigest = digest('csr', node.number, node.bootId);
  const serial = digest('certificate', spkiDigest).slice(0, 16);
  return { serial, spkiDigest, notBefore: Date.now(), notAfter: Date.now() + DAY };
}

function enrolmentOf(node: SimNode, spkiDigest: string): Enrolment {
  const n = node.number;
  return {
    id: node.id,
    ekDigest: digest('ek', n),
    akName: `000b${digest('ak', n)}`,
    spkiDigest,
    hostKey: node.hostKey.line,
    words: ['simulated', 'node', `n${n}`, node.bootId.slice(0, 4)],
    inventory: {
      uuid: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`,
      manufacturer: 'Bootwave',
      product: 'simulated node',
      serial: `SIM${n}`,
      firmware: { kind: 'uefi', vendor: 'simulated', version: '1', date: '01/01/2026' },
      secureBoot: 'on',
      cpu: { model: 'simulated', threads: 1 },
      memory: 2 ** 31,
      nics: [
        {
          name: 'eth0',
          mac: simMac(n),
          driver: 'sim',
          speed: null,
        },
      ],
      disks: [],
      tpm: { manufacturer: 'SIM', firmware: '1' },
    },
    running: { version: node.running, kernel: '6.1.0', bootId: node.bootId },
    ekCertificate: { verified: false, reason: 'simulated' },
    clock: null,
    nonceNumber: 1,
    firmware: { secureBoot: true, foreign: [], optionRoms: [] },
    pcrs: {
      '7': digest('pcr7'),
      '11': node.status().running.pcr11 ?? '',
      '12': '00'.repeat(32),
      '13': '00'.repeat(32),
    },
    token: null,
    address: simAddress(n),
    at: Date.now(),
  };
}
