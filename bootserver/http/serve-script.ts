import type { Parts } from './parts.ts';
import type { Asked, Reply } from './route.ts';

export async function script({ mac, address, query }: Asked, { script }: Parts): Promise<Reply> {
  const text = await script(mac, { address, query });
  if (text === undefined) {
    return { kind: 'absent', code: 'BOOT_SCRIPT_ABSENT', what: `there is no boot script for ${mac}` };
  }
  return { kind: 'text', type: 'text/plain; charset=utf-8', text, step: 'script-sent' };
}
