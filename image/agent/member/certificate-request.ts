import { createPublicKey, type KeyObject, sign } from 'node:crypto';
import { der, TAG } from './der.ts';

const COMMON_NAME = Buffer.from('550403', 'hex');
const ECDSA_SHA256 = Buffer.from('2a8648ce3d040302', 'hex');

/**
 * A PKCS#10 request (RFC 2986) for a P-256 key. The name in it is for people who look at it; the fleet ignores it.
 * @returns DER
 */
export function certificateRequest(key: KeyObject, commonName: string): Buffer {
  const name = der(
    TAG.sequence,
    der(TAG.oid, COMMON_NAME),
    der(TAG.utf8String, Buffer.from(commonName, 'utf8')),
  );
  const info = der(
    TAG.sequence,
    der(TAG.integer, Buffer.from([0])),
    der(TAG.sequence, der(TAG.set, name)),
    createPublicKey(key).export({ type: 'spki', format: 'der' }),
    der(TAG.context0),
  );
  const signature = sign('sha256', info, key);
  return der(
    TAG.sequence,
    info,
    der(TAG.sequence, der(TAG.oid, ECDSA_SHA256)),
    der(TAG.bitString, Buffer.from([0]), signature),
  );
}
