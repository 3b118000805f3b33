import { timingSafeEqual } from 'node:crypto';
import { BootwaveError } from '../../base/error.ts';

const TYPE = 'ssh-ed25519';

/**
 * The public key blob (RFC 4253 6.6, RFC 8709 4) of a line `ssh-ed25519 AAAA...` as enrolment recorded it.
 * @throws BootwaveError `LINK_HOST_KEY_RECORD`: without a recorded key there is no connection, ever
 */
export function hostKeyBlob(line: string): Buffer {
  const [type, text, ...rest] = line.trim().split(/\s+/);
  const blob = Buffer.from(text ?? '', 'base64');
  const inner = Buffer.concat([
    Buffer.from([0, 0, 0, TYPE.length]),
    Buffer.from(TYPE),
    Buffer.from([0, 0, 0, 32]),
  ]);
  const isWhole = blob.length === inner.length + 32 && blob.subarray(0, inner.length).equals(inner);
  if (type !== TYPE || rest.length > 1 || !isWhole || blob.toString('base64') !== text) {
    throw new BootwaveError({
      code: 'LINK_HOST_KEY_RECORD',
      what: 'the node record holds no usable SSH host key',
      unchanged: 'no connection was made',
      next: 'restart the node, so that it enrols again',
    });
  }
  return blob;
}

/** Whether a host shows exactly the recorded key. Takes the same time wherever they differ. */
export function isHostKey(shown: Uint8Array, recorded: Uint8Array): boolean {
  return shown.length === recorded.length && timingSafeEqual(shown, recorded);
}
