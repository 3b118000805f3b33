import type { Role } from '../../keys/operator.ts';
import type { Credential } from '../../keys/vote.ts';
import { ruleOf } from './table.ts';

/** Who acts, proven. */
export type Identity = {
  /** As the audit has it: `operator:ann` by certificate, `operator:root@host` by being root on this machine. */
  actor: string;
  role: Role;
  /** Of a site admin. */
  sites: readonly string[];
  /** By which they are known; absent: by being root here. */
  certificate?: { serial: string; credential: Credential };
  /** The CA of their certificate is tainted: they need another soon. */
  renew?: boolean;
};

export type Denial = { code: 'OPERATOR_ROLE' | 'OPERATOR_SITE'; what: string };

/** Whether the answer depends on the sites that the command is about. */
export function asksForSites({ role }: Identity, command: string): boolean {
  const { who, site } = ruleOf(command);
  return role === 'site-admin' && site !== null && who !== 'anyone' && who.includes(role);
}

/**
 * @param sites what the command is about, where `asksForSites`; nothing at all is never theirs
 * @returns null: they may
 */
export function judge(identity: Identity, command: string, sites: readonly string[]): Denial | null {
  const { role, actor } = identity;
  const { who } = ruleOf(command);
  if (role === 'admin' || who === 'anyone') return null;
  if (!who.includes(role)) {
    const may = ['admin', ...who].join(', ');
    return { code: 'OPERATOR_ROLE', what: `${actor} is ${role}; 'bootwave ${command}' is for ${may}` };
  }
  if (!asksForSites(identity, command)) return null;
  const foreign = sites.filter((site) => !identity.sites.includes(site));
  if (sites.length > 0 && foreign.length === 0) return null;
  const where = sites.length === 0 ? 'no site of theirs' : `site ${[...new Set(foreign)].join(', ')}`;
  return {
    code: 'OPERATOR_SITE',
    what: `${actor} is site admin of ${identity.sites.join(', ')}; this 'bootwave ${command}' is about ${where}`,
  };
}
