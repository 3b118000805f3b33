import { userInfo } from 'node:os';
import type { By } from '../fleet/fleet.ts';

/** Who types this: the person behind sudo where there is one. */
export function operator(): By {
  const name = process.env.SUDO_USER ?? safeUser();
  return { actor: `operator:${name}`, at: Date.now() };
}

function safeUser(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? 'unknown');
  }
}
