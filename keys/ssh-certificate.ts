import { type KeyObject, randomBytes, sign } from 'node:crypto';
import { field, publicBlob, rawPublicKey } from './ssh-key.ts';

export const CERTIFICATE_TYPE = 'ssh-ed25519-cert-v01@openssh.com';
/** SSH_CERT_TYPE_USER. */
const USER = 1;

export type UserCertificate = {
  /** Of whoever gets in (Ed25519). */
  key: KeyObject;
  /** Private key that the host takes certificates of (Ed25519). */
  authority: KeyObject;
  /** What the host logs when somebody gets in with it. */
  id: string;
  principal: string;
  /** Milliseconds since the epoch; it holds in between. */
  after: number;
  until: number;
  /** All that it may run. */
  command: string;
};

/** A certificate for one account, with no extension: no terminal, no forwarding (PROTOCOL.certkeys of OpenSSH). */
export function userCertificate(wanted: UserCertificate): Buffer {
  const { key, authority, id, principal, after, until, command } = wanted;
  const body = Buffer.concat([
    field(CERTIFICATE_TYPE),
    field(randomBytes(32)),
    field(rawPublicKey(key)),
    // Serial number: none is ever revoked by it, because the authority ends with the incident.
    Buffer.alloc(8),
    Buffer.from([0, 0, 0, USER]),
    field(id),
    field(field(principal)),
    seconds(after),
    seconds(until),
    field(Buffer.concat([field('force-command'), field(field(command))])),
    field(''),
    field(''),
    field(publicBlob(rawPublicKey(authority))),
  ]);
  return Buffer.concat([body, field(sshSignature(body, authority))]);
}

/** RFC 8709 6. */
export const sshSignature = (bytes: Uint8Array, key: KeyObject): Buffer =>
  Buffer.concat([field('ssh-ed25519'), field(sign(null, bytes, key))]);

function seconds(ms: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(Math.floor(ms / 1000)));
  return bytes;
}
