import { userInfo } from 'node:os';

/** The user that runs this process, and the user behind sudo. Neither is proved. */
export type HostUser = { sudo?: string | undefined; user: string };

export function hostUser(): HostUser {
  const { SUDO_USER: sudo } = process.env;
  return sudo ? { sudo, user: userName() } : { user: userName() };
}

export function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? 'unknown');
  }
}
