import type { Role } from '../../keys/operator-roles.ts';

/** Who may use it, besides admins, who may use everything. `anyone`: even without a certificate. */
export type Who = readonly Exclude<Role, 'admin'>[] | 'anyone';

/** Who acts, proven. */
export type Identity = {
  /** The actor as in the audit: `operator:ann` by certificate, `operator:root@host` as root on this machine. */
  actor: string;
  role: Role;
  /** Sites of a site admin. */
  sites: readonly string[];
  /** The certificate that identifies them; absent: they are root here. */
  certificate?: { serial: string };
  /** The CA of their certificate is tainted: they need another one soon. */
  renew?: boolean;
};

export type Denial = { code: 'OPERATOR_ROLE' | 'OPERATOR_SITE'; what: string };
/** Access rules of an operation (operations/operation.ts). */
type Judged = { name: string; who: Who; site?: unknown };

/** Whether the answer depends on the sites that the operation concerns. */
export function asksForSites({ role }: Identity, { who, site }: Judged): boolean {
  return role === 'site-admin' && site !== undefined && who !== 'anyone' && who.includes(role);
}

/** Whether their role allows it, at any site. @returns null: it does */
export function judgeRole({ role, actor }: Identity, { name, who }: Judged): Denial | null {
  if (role === 'admin' || who === 'anyone' || who.includes(role)) return null;
  const may = ['admin', ...who].join(', ');
  return { code: 'OPERATOR_ROLE', what: `${actor} is ${role}; 'bootwave ${name}' is for ${may}` };
}

/**
 * Whether they may do it at these sites.
 * @param sites that the operation concerns, if `asksForSites`; an empty list is never allowed
 * @returns null: they may
 */
export function judge(identity: Identity, operation: Judged, sites: readonly string[]): Denial | null {
  const denial = judgeRole(identity, operation);
  if (denial !== null || !asksForSites(identity, operation)) return denial;
  const foreign = sites.filter((site) => !identity.sites.includes(site));
  if (sites.length > 0 && foreign.length === 0) return null;
  const where = sites.length === 0 ? 'no site of theirs' : `site ${[...new Set(foreign)].join(', ')}`;
  return {
    code: 'OPERATOR_SITE',
    what: `${identity.actor} is site admin of ${identity.sites.join(', ')}; this 'bootwave ${operation.name}' is about ${where}`,
  };
}
