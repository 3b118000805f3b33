/**
 * Fencing a compromised node: the ban of all that was ever certified for it, its quarantine and the step of its incident are one
 * commit. The machine itself is not banned: its TPM stays known, and is held by the incident.
 */
import { refusal } from '../../base/error.ts';
import type { By } from '../fleet/acting.ts';
import { certifiedSerials } from '../fleet/bans/act.ts';
import { fence as fenceRecord } from '../fleet/bans/fence.ts';
import { type Ban, sealBan } from '../fleet/decisions/entry.ts';
import { type Incident, isHeldBy } from '../fleet/decisions/incidents.ts';
import { appendOp } from '../fleet/decisions/log.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { unknownNode } from '../fleet/names.ts';
import type { NodeRecord } from '../fleet/record.ts';
import { isRegistered } from '../fleet/transitions.ts';
import { incidentStep, type Told } from './incidents.ts';
import { signalled } from './signalled.ts';

/**
 * @param next the incident as it is to stand after it, on the road of compromised nodes; null: nothing changes
 * @returns `ban` null: nothing was left to ban
 * @throws BootwaveError `NODE_UNKNOWN`, and what `decideIncident` throws; nothing is changed then
 */
export async function fenceNode(
  fleet: Fleet,
  node: string,
  next: (known: Incident | undefined, record: NodeRecord) => Told | null,
  by: By,
): Promise<{ incident: Incident | undefined; ban: Ban | null }> {
  const seal = await fleet.decisionLog.sealer();
  const issued = await certifiedSerials(fleet, node);
  let told: { incident: Incident | undefined; ban: Ban | null } = { incident: undefined, ban: null };
  const done = await fleet.nodes.update(node, async (record) => {
    if (record === null) throw unknownNode(node);
    const shown = await resetsOf(fleet, record);
    const wanted = (now: Incident | undefined): Told | null => {
      const after = next(now, record);
      const wasHeld = now !== undefined && now.number === after?.number && isHeldBy(now);
      return after && { ...after, resets: wasHeld ? after.resets : shown };
    };
    const { known, step } = await incidentStep(fleet, node, wanted, by);
    told = { incident: known, ban: null };
    if (step === null) return { outcome: { kind: 'same' } };
    const ban = banOf(record, issued, step.incident.reason, by);
    const outcome = fenceRecord(record, ban, by);
    if (outcome.kind !== 'changed') return { outcome };
    told = { incident: step.incident, ban };
    return {
      outcome: { ...outcome, audit: [step.audit, ...outcome.audit] },
      extras: {
        records: [step.record],
        ops: [step.op, appendOp(ban, seal(ban.text))],
        decisions: [step.decision],
      },
    };
  });
  if (done.kind === 'changed' && told.ban !== null) await fleet.decisions.keep(told.ban);
  return told;
}

/** Code of the signal, or `operator`; what was seen; one sentence. */
export type Word = Pick<Incident, 'signal' | 'evidence' | 'reason'>;

/**
 * Fences a node for one reason. What it was held for before stays in its incident.
 * @returns `fresh` false: it was held before
 * @throws BootwaveError `NODE_UNKNOWN`, `FENCE_NOT_MEMBER`, and what `fenceNode` throws
 */
export async function fence(
  fleet: Fleet,
  node: string,
  word: Word,
  by: By,
): Promise<{ incident: Incident; fresh: boolean }> {
  let fresh = true;
  const { incident } = await fenceNode(
    fleet,
    node,
    (known, { id, name, site, state }) => {
      fresh = known === undefined || !isHeldBy(known);
      if (!isRegistered(state))
        throw refusal('FENCE_NOT_MEMBER', `node ${name} is ${state}: there is nothing to take from it`);
      return signalled(known, { node: id, name, site }, { ...word, road: 'compromised' }, by.at);
    },
    by,
  );
  return { incident: incident!, fresh };
}

/** What servers have seen themselves goes before what stands in the record. */
async function resetsOf({ clocks }: Fleet, { identity, observed }: NodeRecord): Promise<number | undefined> {
  const seen = identity.akName === null ? null : await clocks.resets(identity.akName);
  return seen ?? observed.clock?.resets;
}

function banOf({ name, identity }: NodeRecord, issued: readonly string[], reason: string, by: By): Ban {
  const { certificateSerial, previousSerial, spkiDigest } = identity;
  const held = [certificateSerial, previousSerial].filter((serial) => serial !== null);
  const serials = [...new Set([...issued, ...held])];
  return sealBan({ kind: 'ban', ...by, reason, name, nodes: [], serials, keys: [spkiDigest] });
}
