import type { Client, ParsedKey } from 'ssh2';

type AuthPK = (this: object, user: string, key: ParsedKey, algorithm?: string, sign?: Sign) => void;
type Sign = (data: Buffer, give: (signature: Buffer) => void) => void;

/**
 * Has a client log in with its signature at once; to be called after `connect`.
 *
 * RFC 4252 section 7 lets a client ask first whether a key would be accepted, so that nobody types a passphrase in
 * vain. ssh2 1.17 always asks. Our key needs no passphrase, and the question costs every connection a round trip and
 * both ends a packet each way. This reaches into private fields of ssh2: if they have changed, the client asks as
 * before, and the test of this file fails.
 */
export function signAtOnce(client: Client, key: ParsedKey): void {
  const protocol = (client as { _protocol?: { authPK?: unknown } })._protocol;
  const authPK = protocol?.authPK;
  if (protocol === undefined || typeof authPK !== 'function') return;
  const sign: Sign = (data, give) => give(key.sign(data));
  protocol.authPK = function (user, shown, algorithm) {
    (authPK as AuthPK).call(this, user, shown, algorithm, sign);
  } satisfies AuthPK;
}
