import { createSecretKey } from 'node:crypto';
import type { Client, Connection } from 'ssh2';

/** Fields of ssh2 1.17's AES-GCM ends, both with `createCipheriv` or `createDecipheriv` for each packet. */
const FIELDS = { _cipher: '_encKey', _decipher: '_decipherKey' } as const;

/**
 * Has every packet of a connection ciphered with a KeyObject, from its handshake on and again after each rekeying.
 *
 * ssh2 hands the key over as bytes, and of bytes Node 24.21 finds out what they are by two exceptions, each with a
 * stack: a third of the CPU time that a short request costs both ends. Nobody else may hold the key as an object, so this
 * reaches into private fields of ssh2. Where one of them is not what it was in 1.17 (or another cipher was agreed on), it
 * stays as it is, and the connection works as before, only slower; the test of this file then fails.
 */
export function holdCipherKeys(connection: Client | Connection): void {
  // Both classes have the event; their declarations share none.
  (connection as Client).on('handshake', () => {
    for (const [end, field] of Object.entries(FIELDS)) hold(endOf(connection, end), field);
  });
}

type Fields = Record<string, unknown>;

function endOf(connection: object, end: string): Fields | undefined {
  return (connection as { _protocol?: Record<string, Fields | undefined> })._protocol?.[end];
}

function hold(end: Fields | undefined, field: string): void {
  const key = end?.[field];
  if (end !== undefined && Buffer.isBuffer(key)) end[field] = createSecretKey(key);
}
