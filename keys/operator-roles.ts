/** What somebody may do, as their certificate says it (docs/operators.md). */
export const ROLES = ['admin', 'core', 'site-admin', 'slice-owner', 'viewer'] as const;
export type Role = (typeof ROLES)[number];
