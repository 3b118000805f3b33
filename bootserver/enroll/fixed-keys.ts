import { BootwaveError } from '../../base/error.ts';
import { type Csr, parseCsr } from '../../formats/csr.ts';
import {
  checkAttestationKey,
  checkEndorsementKey,
  parseTpmPublic,
  type TpmPublic,
} from '../../formats/tpm/public.ts';
import type { Inventory, Running } from '../../protocol/enrolment/inventory.ts';
import type { KeysRequest } from '../../protocol/enrolment/messages.ts';
import { deviceNodeId, tpmNodeId } from '../../protocol/enrolment/node-id.ts';
import { enrolmentWords, type Words } from '../../protocol/enrolment/words.ts';

/** What a node fixed before it saw the nonce. */
export type FixedKeys = {
  id: string;
  tpm: {
    ek: TpmPublic;
    ak: TpmPublic;
    ekBytes: Buffer;
    akBytes: Buffer;
    /** DER, unread. */
    ekCertificate: Buffer | null;
  } | null;
  csr: Csr;
  hostKey: string;
  inventory: Inventory;
  running: Running;
  token: string | null;
};

/** Blob of an ssh-ed25519 key up to the key itself (RFC 8709 4). */
const ED25519 = Buffer.from('0000000b7373682d6564323535313900000020', 'hex');

/** @throws BootwaveError `EK_*`, `AK_*`, `CSR_*`, `HOST_KEY_MALFORMED` */
export function fixKeys(request: KeysRequest): FixedKeys {
  const tpm = request.tpm === null ? null : readTpm(request.tpm);
  const csr = parseCsr(Buffer.from(request.csr, 'base64'));
  const blob = Buffer.from(request.hostKey.split(' ')[1] ?? '', 'base64');
  if (blob.length !== ED25519.length + 32 || !blob.subarray(0, ED25519.length).equals(ED25519)) {
    throw new BootwaveError({
      code: 'HOST_KEY_MALFORMED',
      what: 'the SSH host key is not an ssh-ed25519 key',
    });
  }
  return {
    id: tpm === null ? deviceNodeId(request.inventory) : tpmNodeId(tpm.ek),
    tpm,
    csr,
    hostKey: request.hostKey,
    inventory: request.inventory,
    running: request.running,
    token: request.token,
  };
}

function readTpm(request: NonNullable<KeysRequest['tpm']>): NonNullable<FixedKeys['tpm']> {
  const ekBytes = Buffer.from(request.ek, 'base64');
  const akBytes = Buffer.from(request.ak, 'base64');
  const ek = parseTpmPublic(ekBytes, 'EK_MALFORMED');
  checkEndorsementKey(ek);
  const ak = parseTpmPublic(akBytes, 'AK_MALFORMED');
  checkAttestationKey(ak);
  const ekCertificate = request.ekCertificate === null ? null : Buffer.from(request.ekCertificate, 'base64');
  return { ek, ak, ekBytes, akBytes, ekCertificate };
}

/** @param fleetRoot SHA-256 of the root certificate, DER */
export function wordsOf(keys: FixedKeys, nonce: Uint8Array, fleetRoot: Uint8Array): Words {
  return enrolmentWords({
    fleetRoot,
    ek: keys.tpm?.ekBytes ?? null,
    ak: keys.tpm?.akBytes ?? null,
    csrKey: keys.csr.spki,
    nonce,
  });
}
