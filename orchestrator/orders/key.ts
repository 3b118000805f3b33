import { createPrivateKey, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { BootwaveError } from '../../base/error.ts';
import { keyLayout } from '../../keys/layout.ts';

/**
 * The key that signs the fleet's orders.
 * @throws BootwaveError `ORDER_KEY_MISSING`, or `ORDER_KEY_FILE` when the file holds something else
 */
export async function loadOrderKey(keysFolder: string): Promise<KeyObject> {
  const path = keyLayout(keysFolder).order.key;
  let pem: string;
  try {
    pem = await readFile(path, 'utf8');
  } catch (error) {
    throw new BootwaveError({
      code: 'ORDER_KEY_MISSING',
      what: `the order key ${path} cannot be read`,
      unchanged: 'no order was issued',
      next: `run 'bootwave keys init' for a new fleet, or restore the keys folder from its backup`,
      cause: error,
    });
  }
  const wrong = (cause?: unknown) =>
    new BootwaveError({
      code: 'ORDER_KEY_FILE',
      what: `the file ${path} holds no Ed25519 private key`,
      unchanged: 'no order was issued',
      next: 'restore it from the backup; nodes obey only the key inside their image',
      cause,
    });
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (error) {
    throw wrong(error);
  }
  if (key.asymmetricKeyType !== 'ed25519') throw wrong();
  return key;
}
