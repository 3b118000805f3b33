import { createPrivateKey, sign } from 'node:crypto';
import ssh2, { type ParsedKey } from 'ssh2';

/**
 * The orchestrator's client key, read once: ssh2 would parse the file at every connection, and the PEM text inside at
 * every signature.
 * @param file OpenSSH or PEM text
 * @throws Error when it holds no private key
 */
export function readClientKey(file: string | Buffer): ParsedKey {
  const key = ssh2.utils.parseKey(file);
  if (key instanceof Error) throw key;
  if (!key.isPrivateKey()) throw new Error('the client key file holds no private key');
  const held = createPrivateKey(key.getPrivatePEM());
  // Ed25519 has no choice of hash (RFC 8709 6); ssh2 handles any other kind.
  if (held.asymmetricKeyType === 'ed25519') key.sign = (data) => sign(null, Buffer.from(data), held);
  return key;
}
