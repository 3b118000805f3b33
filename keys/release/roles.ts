/**
 * Which role signs what of a release (The Update Framework 1.0.34, 2.1). Root says which keys count; targets says which
 * images there are; snapshot says which targets file is the newest; timestamp says that this is still current.
 */
export const RELEASE_ROLES = ['root', 'targets', 'snapshot', 'timestamp'] as const;
export type ReleaseRole = (typeof RELEASE_ROLES)[number];

/**
 * Used by people, at a release or when keys change; these keys may be on removable storage. The server uses the other
 * two all the time.
 */
export const OFFLINE_ROLES: readonly ReleaseRole[] = ['root', 'targets'];

const DAY = 24 * 3600_000;

/**
 * Milliseconds for which a role's signature is valid. Short where a machine signs, so that nobody can hold the fleet
 * back for long.
 */
export const RELEASE_LIFE: Readonly<Record<ReleaseRole, number>> = {
  root: 730 * DAY,
  targets: 365 * DAY,
  snapshot: 30 * DAY,
  timestamp: 2 * DAY,
};

export const TUF_VERSION = '1.0.34';

/** TUF 1.0.34, 4.2.1: seconds, UTC, nothing else. */
export function expiry(now: number, role: ReleaseRole): string {
  return new Date(now + RELEASE_LIFE[role]).toISOString().replace(/\.\d{3}Z$/, 'Z');
}
