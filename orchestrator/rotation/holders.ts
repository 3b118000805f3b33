/** Who would be without a certificate if a CA were revoked now. */
import type { DataPaths } from '../../base/paths.ts';
import type { AuthorityName } from '../../keys/layout.ts';
import { runningServers } from '../authorities/servers.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { NodeRecord } from '../fleet/record.ts';
import { isMember } from '../fleet/transitions.ts';
import { knownOperators } from '../operators/known.ts';

/**
 * @param first id of the CA that signed before ids were kept
 * @returns names; of nodes only those that are heard: a silent one enrols again when it comes back
 */
export async function holdersOf(
  { fleet, paths, now }: { fleet: Fleet; paths: DataPaths; now: number },
  ca: AuthorityName,
  id: string,
  first: string,
): Promise<string[]> {
  if (ca === 'servers') {
    const running = await runningServers(fleet.redis, now);
    return running.filter(({ shows }) => shows === id).map(({ server }) => server);
  }
  if (ca === 'operators') {
    const { register } = await knownOperators(paths);
    const held = register.filter(({ revoked, notAfter }) => revoked === null && now < notAfter);
    return held
      .filter(({ issuer }) => (issuer ?? first) === id)
      .map(({ name, serial }) => `${name} (${serial})`);
  }
  const nodes = await fleet.nodes.getMany(await fleet.nodes.ids());
  return nodes.filter((node) => holds(node, id, first, now)).map(({ name }) => name);
}

function holds({ state, identity }: NodeRecord, id: string, first: string, now: number): boolean {
  if (!isMember(state) || state === 'unreachable') return false;
  const { certificateSerial, previousSerial, issuer, previousIssuer, notAfter } = identity;
  const inDate = notAfter !== null && now < notAfter;
  const current = certificateSerial !== null && inDate && (issuer ?? first) === id;
  // Valid until the newer one has been used, which then was not yet.
  return current || (previousSerial !== null && (previousIssuer ?? first) === id);
}
