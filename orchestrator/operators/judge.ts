import type { Role } from '../../keys/operator-roles.ts';

/** Who may, besides admins, who may do everything. `anyone`: even without being known. */
export type Who = readonly Exclude<Role, 'admin'>[] | 'anyone';

/** Who acts, proven. */
export type Identity = {
  /** As the audit has it: `operator:ann` by certificate, `operator:root@host` by being root on this machine. */
  actor: string;
  role: Role;
  /** Of a site admin. */
  sites: readonly string[];
  /** By which they are known; absent: by being root here. */
  certificate?: { serial: string };
  /** The CA of their certificate is tainted: they need another soon. */
  renew?: boolean;
};

export type Denial = { code: 'OPERATOR_ROLE' | 'OPERATOR_SITE'; what: string };
/** Of an operation (operations/operation.ts). */
type Judged = { name: string; who: Who; site?: unknown };

/** Whether the answer depends on the sites that the operation is about. */
export function asksForSites({ role }: Identity, { who, site }: Judged): boolean {
  return role === 'site-admin' && site !== undefined && who !== 'anyone' && who.includes(role);
}

/** Whether their role may, wherever it is. @returns null: it may */
export function judgeRole({ role, actor }: Identity, { name, who }: Judged): Denial | null {
  if (role === 'admin' || who === 'anyone' || who.includes(role)) return null;
  const may = ['admin', ...who].join(', ');
  return { code: 'OPERATOR_ROLE', what: `${actor} is ${role}; 'bootwave ${name}' is for ${may}` };
}

/**
 * Whether they may at these sites.
 * @param sites what the operation is about, where `asksForSites`; nothing at all is never theirs
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
