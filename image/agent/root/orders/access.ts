/**
 * Whom sshd lets look at a node in rescue: whoever has a certificate of the authority that the order in force names, for this incident of this node.
 * Only root writes the file, and only from an order that it has verified.
 */
import { chmod, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../../../../base/files.ts';
import { publicBlob } from '../../../../keys/ssh-key.ts';
import { RESCUE_COMMAND, rescuePrincipal } from '../../../../protocol/agent/rescue.ts';
import type { Order } from '../../../../protocol/order.ts';

/** As sshd_config names it. */
const accessFile = (run: string): string => join(run, 'rescue-keys');

export async function admitLookers(run: string, order: Pick<Order, 'node' | 'rescue'>): Promise<void> {
  const line = accessLine(order);
  const file = accessFile(run);
  if (line === null) return rm(file, { force: true });
  await writeFileAtomic(file, line);
  // Sshd reads it as the account; the umask of root's units would have it for root alone.
  await chmod(file, 0o644);
}

/** A line of AUTHORIZED_KEYS (sshd(8)); null: nobody is let in. */
function accessLine({ node, rescue }: Pick<Order, 'node' | 'rescue'>): string | null {
  if (rescue?.access === undefined) return null;
  const { authority, until } = rescue.access;
  const end = `${new Date(until).toISOString().replaceAll(/[-:T]|\..*/g, '')}Z`;
  const options = [
    'restrict',
    'cert-authority',
    `principals="${rescuePrincipal(node, rescue.incident)}"`,
    `expiry-time="${end}"`,
    `command="${RESCUE_COMMAND}"`,
  ];
  return `${options.join(',')} ssh-ed25519 ${publicBlob(Buffer.from(authority, 'hex')).toString('base64')}\n`;
}
