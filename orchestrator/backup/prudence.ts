/**
 * What a restored server must not do as if nothing had happened: a backup does not know what was ordered, done or ended after it.
 */
import { BootwaveError } from '../../base/error.ts';
import { shownName } from '../../protocol/service/name.ts';
import type { By } from '../fleet/acting.ts';
import { isOver } from '../fleet/decisions/incidents.ts';
import { EVERYWHERE } from '../fleet/decisions/restraints.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { decideIncident, listIncidents } from '../recovery/incidents.ts';
import { PLANS } from '../recovery/plans.ts';
import { SCHEDULES } from '../recovery/schedule.ts';
import { ENDED } from '../rollout/record.ts';
import { listRollouts } from '../rollout/run/list.ts';
import { operate } from '../rollout/run/operate.ts';
import { Consents, recordConsent } from '../signer/consents.ts';
import type { signerFiles } from '../signer/files.ts';
import { Ledger } from '../signer/ledger.ts';

/**
 * Epochs that are left free above the highest that is known of each node: more than any node gets in the life of a backup, and
 * few beside the jump that signers refuse (`SIGNER_EPOCH_JUMP`).
 */
const LOST_AT_MOST = 100_000;

type Files = ReturnType<typeof signerFiles>;

/** No epoch ever means two things: nodes hold orders that the ledger has forgotten. @returns of how many nodes */
export async function leaveEpochs({ ledger: path }: Pick<Files, 'ledger'>, now: number): Promise<number> {
  const ledger = await Ledger.open(path, now);
  const all = [...ledger.all];
  for (const one of all) ledger.learn({ ...one, epoch: one.epoch + LOST_AT_MOST }).catch(() => {});
  await ledger.settled();
  await ledger.close();
  return all.length;
}

/** A disk that was wiped since, and is in use again, is not wiped once more. @returns ids of the nodes */
export async function takeBackWipes({ consents: path }: Pick<Files, 'consents'>, by: By): Promise<string[]> {
  const nodes = [...(await new Consents(path).current()).wipes.keys()];
  for (const node of nodes) await recordConsent(path, { say: 'keep-data', node }, by);
  return nodes;
}

/** One that was ended since, because its image was bad, does not go on by itself. @returns ids of those that would have */
export async function pauseRollouts({ redis }: Fleet, by: By, why: string): Promise<string[]> {
  const paused: string[] = [];
  for (const { id, state } of await listRollouts(redis)) {
    if (ENDED.includes(state)) continue;
    try {
      await operate(redis, id, { type: 'pause', by: by.actor, why });
      paused.push(id);
    } catch (error) {
      // It stands still already, and a person has to say when it goes on.
      if (!(error instanceof BootwaveError && error.code === 'ROLLOUT_CANNOT')) throw error;
    }
  }
  return paused;
}

/** These are brought to nodes again, also where they were let go since: a person hears which. @returns as `frozen: web/shop on n1` */
export async function restraintsOf({ decisions, nodes }: Fleet): Promise<string[]> {
  const all = decisions.restraints.all.filter(({ how }) => how !== null);
  const names = new Map((await nodes.getMany(all.map(({ node }) => node))).map(({ id, name }) => [id, name]));
  return all.map(({ service, node, how }) => {
    const where = node === EVERYWHERE ? '' : ` on ${names.get(node) ?? node}`;
    return `${how === 'freeze' ? 'frozen' : 'throttled'}: ${shownName(service)}${where}`;
  });
}

/**
 * The backup does not know which nodes were fenced, wiped and brought back since: none of them is to be wiped once more. So nodes
 * that were under way wait for a person, plans begin no other node, and no drill begins by itself. The incident of a node that was
 * wiped already ends: nothing else lets it in again.
 * @returns names of the nodes that wait
 */
export async function leaveToPeople(fleet: Fleet, by: By, why: string): Promise<string[]> {
  for (const { name } of await PLANS.list(fleet))
    await PLANS.decide(
      fleet,
      name,
      (known) =>
        known?.value == null || known.value.ended !== null ? 'same' : { ...known.value, ended: why },
      { ...by, reason: why },
    );
  for (const { name, value } of await SCHEDULES.list(fleet))
    if (value.kind !== 'restore') await SCHEDULES.decide(fleet, name, () => null, { ...by, reason: why });
  const left: string[] = [];
  for (const { node, name } of await listIncidents(fleet)) {
    const { incident, changed } = await decideIncident(
      fleet,
      node,
      (known) => {
        if (known === undefined || isOver(known) || known.step === 'person') return null;
        const isWiped = known.step === 'wiped' || known.step === 'returning';
        return { ...known, step: isWiped ? 'ended' : 'person', reason: why };
      },
      by,
    );
    if (changed && incident?.step === 'person') left.push(name);
  }
  return left;
}
