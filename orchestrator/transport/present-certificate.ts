import type { KeyObject } from 'node:crypto';
import type { Client } from 'ssh2';
import { CERTIFICATE_TYPE, sshSignature } from '../../keys/ssh-certificate.ts';
import { field } from '../../keys/ssh-key.ts';

/** SSH_MSG_USERAUTH_REQUEST (RFC 4252, 6). */
const REQUEST = 50;

type Parts = {
  _kex: { sessionID: Buffer };
  _authsQueue: string[];
  _packetRW: { write: { alloc(size: number): Buffer; allocStart: number; finalize(packet: Buffer): Buffer } };
  _cipher: { encrypt(packet: Buffer): void };
  authPK(user: string): void;
};

/**
 * Has a client log in with a certificate; to be called after `connect`.
 *
 * ssh2 1.17 knows none: it writes the name of the key's algorithm into the signature as well, where a certificate and the signature by its
 * key have different ones. So the one packet is made here (RFC 4252, 7; PROTOCOL.certkeys), with private fields of ssh2. If they have
 * changed, nobody gets in, and the test of this file fails.
 */
export function presentCertificate(client: Client, key: KeyObject, certificate: Buffer): void {
  const protocol = (client as unknown as { _protocol: Parts })._protocol;
  protocol.authPK = (user) => {
    const request = Buffer.concat([
      Buffer.from([REQUEST]),
      field(user),
      field('ssh-connection'),
      field('publickey'),
      Buffer.from([1]),
      field(CERTIFICATE_TYPE),
      field(certificate),
    ]);
    const signed = Buffer.concat([field(protocol._kex.sessionID), request]);
    const payload = Buffer.concat([request, field(sshSignature(signed, key))]);
    const { write } = protocol._packetRW;
    // In this order: `alloc` says where the payload begins.
    const packet = write.alloc(payload.length);
    packet.set(payload, write.allocStart);
    protocol._authsQueue.push('publickey');
    protocol._cipher.encrypt(write.finalize(packet));
  };
}
