import { whyText } from '../../../base/error.ts';
import { type Incident, isOver, rescueOf } from '../../fleet/decisions/incidents.ts';
import { note } from '../../power/switch.ts';
import { type Collected, collect as collectOf, EVIDENCE, kept, showOf } from '../../recovery/evidence.ts';
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

/** A node that is not in rescue is not asked: what servers know of it is collected. @throws BootwaveError `INCIDENT_*`, `EVIDENCE_*` */
export async function collect(
  { node, reason, disks }: { node: string; reason: string; disks: string[] },
  acting: Acting,
): Promise<Collected> {
  const { fleet, paths, by, signal } = acting;
  const record = await fleet.nodes.resolve(node);
  const incident = await known(acting, record);
  const isShown = !isOver(incident) && rescueOf(incident, by.at) !== null;
  const show = isShown ? await showOf(record, acting) : null;
  const asked = { show, disks, signal, looks: EVIDENCE.looks };
  const one = await collectOf({ fleet, folder: paths.evidence }, { record, incident }, asked, by);
  const what = `${one.file} has SHA-256 ${one.sha256}, ${one.bytes} bytes: ${reason}`;
  await note({ fleet, by: { ...by, at: Date.now() } }, record, what, ACTION);
  return one;
}
