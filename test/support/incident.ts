import { setTimeout as sleep } from 'node:timers/promises';
import type { Incident } from '../../orchestrator/fleet/decisions/incidents.ts';
import { readIncident } from '../../orchestrator/recovery/incidents.ts';
import type { Rack } from './rack.ts';

/** Waits for the incident of a node. @param id of its record */
export async function untilIncident(
  rack: Rack,
  id: string,
  holds: (incident: Incident) => boolean,
): Promise<Incident> {
  const end = performance.now() + 60 * 60_000;
  for (;;) {
    const now = await rack.fleet((fleet) => readIncident(fleet, id));
    if (now !== undefined && holds(now)) return now;
    if (performance.now() > end) throw new Error(`the incident is ${now?.step}: ${now?.reason}`);
    await sleep(1000);
  }
}
