/** Collects what is known of nodes of this site that are fenced or taken into rescue, where their site wants that with no person asked. */
import { whyText } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import type { Incident } from '../fleet/decisions/incidents.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { NodeRecord } from '../fleet/record.ts';
import { UP } from '../fleet/transitions.ts';
import { keepNodes } from '../upkeep/nodes.ts';
import { collect, momentOf, showOf } from './evidence.ts';
import { RECOVERY } from './held.ts';
import { decideIncident } from './incidents.ts';
import { grown } from './signalled.ts';

export type EvidenceKeeping = {
  fleet: Fleet;
  /** Of this server's evidence. */
  folder: string;
  site: string;
  log: Logger;
  signal: AbortSignal;
  now?: () => number;
  /** Milliseconds between two looks, and before a node is tried again. */
  times?: { look: number; again: number };
  /** Nodes of which it is collected at the same time, of each road. */
  atOnce?: number;
};

const TIMES = { look: 1_000, again: 15_000 };
const AT_ONCE = 16;

/** Runs until the signal aborts. Never rejects. */
export async function startEvidenceKeeper(options: EvidenceKeeping): Promise<void> {
  // Nodes in rescue show what they like, as slowly as they like: those that are fenced have places of their own.
  await Promise.all([keepEvidence('compromised', options), keepEvidence('broken', options)]);
}

function keepEvidence(road: Incident['road'], options: EvidenceKeeping): Promise<void> {
  const { fleet, folder, site, log, signal, now = Date.now, times = TIMES, atOnce = AT_ONCE } = options;
  const due = ({ id, state }: Pick<NodeRecord, 'id' | 'state'>) => {
    const incident = fleet.decisions.incidents.of(id);
    const moment = incident?.road === road ? momentOf(incident, now()) : null;
    // One that does not run yet is asked when it does.
    return moment === null || (road === 'broken' && !UP.includes(state))
      ? null
      : { incident: incident!, moment };
  };
  return keepNodes({
    ...{ redis: fleet.redis, name: `evidence ${road} ${site}`, every: times.look, atOnce, log, signal },
    async find() {
      const wanted = fleet.decisions.incidents.all.filter(
        (one) => one.site === site && momentOf(one, now()) !== null,
      );
      if (wanted.length === 0 || (await fleet.sites.get(site)).policy.evidence === 'none') return [];
      const records = await fleet.nodes.getMany(wanted.map(({ node }) => node));
      return records.filter((one) => due(one) !== null);
    },
    async work({ id }) {
      const record = await fleet.nodes.get(id);
      const found = record === null ? null : due(record);
      if (record === null || found === null) return;
      const { incident, moment } = found;
      const by = { actor: RECOVERY, at: now() };
      const show = incident.road === 'broken' ? await showOf(record, { fleet, by, signal }) : null;
      const one = await collect(
        { fleet, folder },
        { record, incident },
        { show, disks: [], moment, signal },
        { ...by, at: now() },
      );
      log.info(
        { id, node: record.name, incident: incident.number, file: one.file },
        'evidence was collected',
      );
    },
    async failed({ id, name }, error, waited) {
      const why = `its evidence was not collected: ${whyText(error)}`;
      log[waited === 0 ? 'warn' : 'debug']({ id, node: name, reason: why }, 'evidence waits');
      // Whoever looks at the incident later has to know that it is missing, and why.
      if (waited === 0)
        await decideIncident(
          fleet,
          id,
          (known) => {
            if (known === undefined || momentOf(known, now()) === null) return null;
            const evidence = grown(known.evidence, [why]);
            return evidence.length === known.evidence.length ? null : { ...known, evidence };
          },
          { actor: RECOVERY, at: now() },
        ).catch(() => {});
      return times.again;
    },
  });
}
