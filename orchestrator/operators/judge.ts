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
  /** Slices of an owner; absent: none. */
  slices?: readonly string[];
  /** The certificate that identifies them; absent: they are root here. */
  certificate?: { serial: string };
  /** The CA of their certificate is tainted: they need another one soon. */
  renew?: boolean;
};

export type Denial = { code: 'OPERATOR_ROLE' | 'OPERATOR_SITE' | 'OPERATOR_SLICE'; what: string };
/** Access rules of an operation (operations/operation.ts). */
type Judged = { name: string; who: Who; site?: unknown; slice?: unknown };

/** Roles that may do something only to what is theirs. */
const BOUND: Partial<Record<Role, 'site' | 'slice'>> = { 'site-admin': 'site', 'slice-owner': 'slice' };

/** Of what the operation has to say which it concerns, before it is known whether they may; null: the role says it. */
export function boundTo({ role }: Pick<Identity, 'role'>, operation: Judged): 'site' | 'slice' | null {
  const bound = BOUND[role];
  const { who } = operation;
  if (bound === undefined || operation[bound] === undefined) return null;
  return who !== 'anyone' && role !== 'admin' && who.includes(role) ? bound : null;
}

/** Whether their role allows it, at any site. @returns null: it does */
export function judgeRole({ role, actor }: Identity, { name, who }: Judged): Denial | null {
  if (role === 'admin' || who === 'anyone' || who.includes(role)) return null;
  const may = ['admin', ...who].join(', ');
  return { code: 'OPERATOR_ROLE', what: `${actor} is ${role}; 'bootwave ${name}' is for ${may}` };
}

/**
 * Whether they may do it to these sites or slices.
 * @param about those that the operation concerns, if `boundTo` asks for them; an empty list is never allowed
 * @returns null: they may
 */
export function judge(identity: Identity, operation: Judged, about: readonly string[]): Denial | null {
  const denial = judgeRole(identity, operation);
  const bound = denial === null ? boundTo(identity, operation) : null;
  if (bound === null) return denial;
  const theirs = bound === 'site' ? identity.sites : (identity.slices ?? []);
  const foreign = about.filter((one) => !theirs.includes(one));
  if (about.length > 0 && foreign.length === 0) return null;
  const what = about.length === 0 ? `no ${bound} of theirs` : `${bound} ${[...new Set(foreign)].join(', ')}`;
  const is = bound === 'site' ? 'site admin' : 'owner';
  return {
    code: bound === 'site' ? 'OPERATOR_SITE' : 'OPERATOR_SLICE',
    what: `${identity.actor} is ${is} of ${theirs.join(', ')}; this 'bootwave ${operation.name}' is about ${what}`,
  };
}
