/** Whether an order and the incident of its machine go together. Pure. */
import type { Order } from '../../protocol/order.ts';
import type { Decided } from './decisions.ts';
import { unsigned } from './unsigned.ts';

export type IncidentGrounds = { decided: Pick<Decided, 'incidents' | 'places' | 'recovery'> };

/**
 * While a machine is held it gets the order of its incident and no other; that order wipes what its site has consented to.
 * @returns the name under which the ledger has that wipe; null: it is an order as any other
 * @throws BootwaveError `SIGNER_HELD`, `SIGNER_INCIDENT`, `SIGNER_INCIDENT_UNSAID`, `SIGNER_INCIDENT_DISKS`
 */
export function checkIncident(
  { node, incident: ordered }: Pick<Order, 'node' | 'incident'>,
  { decided: { incidents, places, recovery } }: IncidentGrounds,
): string | null {
  const incident = incidents.holding(node);
  if (ordered === undefined) {
    if (incident === undefined) return null;
    throw unsigned(
      'SIGNER_HELD',
      `${node} is held by incident ${incident.number} (${incident.reason}): it gets no order but that one's`,
      `'bootwave incident show ${incident.name}' says how far it is`,
    );
  }
  if (incident === undefined || incident.step === 'person' || incident.number !== ordered.number)
    throw unsigned('SIGNER_INCIDENT', `no incident ${ordered.number} has ${node} wiped now`);
  const place = places.get(node)?.place;
  const may = place == null ? 'person' : recovery(place.site);
  if (place == null || may === 'person')
    throw unsigned(
      'SIGNER_INCIDENT_UNSAID',
      `nobody has said that machines of site ${incident.site} may be wiped with no person asked`,
      `two people say it: bootwave site set ${incident.site} --recovery wipe`,
    );
  const { disks = [] } = place;
  const isSame =
    disks.length === ordered.installed.length && disks.every((one) => ordered.installed.includes(one));
  if (!isSame || (ordered.others === 'wipe') !== (may === 'wipe-all'))
    throw unsigned(
      'SIGNER_INCIDENT_DISKS',
      `the order to wipe ${node} names other disks than were decided: it has ${disks.join(', ') || 'none of ours'}`,
    );
  return `incident ${ordered.number}`;
}
