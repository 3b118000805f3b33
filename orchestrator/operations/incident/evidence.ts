import { refusal, whyText } from '../../../base/error.ts';
import type { DiskRead } from '../../../protocol/enrolment/disk-evidence.ts';
import { type Incident, isHeldBy, rescueOf } from '../../fleet/decisions/incidents.ts';
import type { NodeRecord } from '../../fleet/record.ts';
import { note } from '../../power/switch.ts';
import { type Collected, collect as collectOf, kept, showOf } from '../../recovery/evidence.ts';
import { decideIncident } from '../../recovery/incidents.ts';
import type { Acting } from '../operation.ts';
import { known } from './acts.ts';

/** `state`: whether the file is on this server, and as it was decided. */
export type Evidence = {
  incident: Pick<Incident, 'name' | 'number' | 'road' | 'step' | 'signal' | 'evidence'>;
  collected: (Collected & { state: string })[];
};
/** `tar`: base64. */
export type Taken = { file: string; tar: string };

const ACTION = 'incident-evidence';

/** @throws BootwaveError `INCIDENT_NONE` */
export async function evidence({ node }: { node: string }, acting: Acting): Promise<Evidence> {
  const incident = await known(acting, await acting.fleet.nodes.resolve(node));
  const collected = (incident.collected ?? []).map(async (one) => {
    const state = await kept(acting.paths.evidence, incident, one.file).then(() => 'whole', whyText);
    return { ...one, state };
  });
  const { name, number, road, step, signal } = incident;
  return {
    incident: { name, number, road, step, signal, evidence: incident.evidence },
    collected: await Promise.all(collected),
  };
}

/** @throws BootwaveError `INCIDENT_NONE`, `EVIDENCE_*` */
export async function take(
  { node, file }: { node: string; file?: string | undefined },
  acting: Acting,
): Promise<Taken> {
  const record = await acting.fleet.nodes.resolve(node);
  const incident = await known(acting, record);
  const bytes = await kept(acting.paths.evidence, incident, file);
  const taken = file ?? incident.collected!.at(-1)!.file;
  await note(acting, record, `taken from the server: ${taken}`, ACTION);
  return { file: taken, tar: bytes.toString('base64') };
}

/** @throws BootwaveError `EVIDENCE_DISKS` */
async function askDisks(record: NodeRecord, read: DiskRead, { fleet, by }: Acting): Promise<void> {
  await decideIncident(
    fleet,
    record.id,
    (now) => {
      if (now === undefined || !isHeldBy(now) || now.disks?.asked !== undefined)
        throw refusal(
          'EVIDENCE_DISKS',
          `node ${record.name} is not fenced, or it has been asked already what is on its disks`,
          'a node in rescue reads its disks at once: --hash DISK',
        );
      return now.disks?.read === read ? null : { ...now, disks: { read, by: by.actor } };
    },
    by,
  );
}

/** A node that is not in rescue is not asked: what servers know of it is collected. @throws BootwaveError `INCIDENT_*`, `EVIDENCE_*` */
export async function collect(
  {
    node,
    reason,
    disks,
    beforeWipe,
  }: { node: string; reason: string; disks: string[]; beforeWipe?: DiskRead | undefined },
  acting: Acting,
): Promise<Collected> {
  const { fleet, paths, by, signal } = acting;
  const record = await fleet.nodes.resolve(node);
  if (beforeWipe !== undefined) await askDisks(record, beforeWipe, acting);
  const incident = await known(acting, record);
  const show = rescueOf(incident, by.at) === null ? null : await showOf(record, acting);
  const asked = { show, disks, signal };
  const one = await collectOf({ fleet, folder: paths.evidence }, { record, incident }, asked, by);
  const what = `${one.file} has SHA-256 ${one.sha256}, ${one.bytes} bytes: ${reason}`;
  await note({ fleet, by: { ...by, at: Date.now() } }, record, what, ACTION);
  return one;
}
