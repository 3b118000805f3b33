import { userInfo } from 'node:os';

/** Who runs this process, and who is behind sudo. Both are their own word. */
export type HostUser = { sudo?: string | undefined; user: string };

export function hostUser(): HostUser {
  const { SUDO_USER: sudo } = process.env;
  return sudo ? { sudo, user: userName() } : { user: userName() };
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? 'unknown');
  }
}
