/** What is done with a machine that is held, when it meets a boot server. */
import { BootwaveError, messageOf, refusal } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import type { DisksSaid } from '../../bootserver/directory.ts';
import {
  type DiskEvidence,
  type DiskRead,
  readDiskEvidence,
} from '../../protocol/enrolment/disk-evidence.ts';
import type { WipeReport } from '../../protocol/enrolment/wipe.ts';
import type { OrderedWipe } from '../../protocol/order.ts';
import type { OrderEnvelope } from '../../protocol/order-envelope.ts';
import type { Incident, IncidentStep } from '../fleet/decisions/incidents.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { Recovery } from '../fleet/held.ts';
import { take } from '../fleet/outcome.ts';
import type { NodeRecord } from '../fleet/record.ts';
import type { Policy } from '../fleet/site.ts';
import { readIssued } from '../orders/issued.ts';
import type { OrderSigner } from '../orders/order-signer.ts';
import { reissue } from '../orders/reissue.ts';
import { sign, standingOf } from '../orders/sign.ts';
import { type Breaker, isMeant } from './breaker.ts';
import { keep, momentOf } from './evidence.ts';
import { decideIncident } from './incidents.ts';
import { forPeopleWhy, since } from './playbook.ts';
import { grown } from './signalled.ts';

/** Milliseconds after a fence in which its evidence is waited for before a wipe is ordered. */
export const EVIDENCE_FIRST = 2 * 60_000;

/** Stored in the order record in place of a rollout's id, and the actor of what happens by itself. */
export const RECOVERY = 'recovery';

export type HeldParts = {
  fleet: Fleet;
  signer: OrderSigner;
  /** Of this server's evidence. */
  folder: string;
  /** Why no machine is wiped now by the automation's own judgement. */
  breaker: Breaker;
  log: Logger;
  now(): number;
};

export class Held implements Recovery {
  readonly #parts: HeldParts;

  constructor(parts: HeldParts) {
    this.#parts = parts;
  }

  async came(record: NodeRecord, incident: Incident) {
    const { breaker, log } = this.#parts;
    const { step, number, reason } = incident;
    // Its server says so at its next look; the machine may come before that.
    const forPeople = step === 'person' ? reason : forPeopleWhy(incident);
    if (forPeople !== null) return { order: null, reason: `a person decides: ${forPeople}` };
    const stopped = isMeant(incident) ? null : breaker('wipe', record);
    if (stopped !== null) return { order: null, reason: `the automation stands still: ${stopped}` };
    const missing = await this.#missing(record, incident);
    if (missing?.waits) return { order: null, reason: 'what is known of it is collected before its wipe' };
    try {
      const order = await this.#order(record, number);
      const came = `it has started, and proved its TPM${missing === null ? '' : '; its evidence was not collected in time'}`;
      await this.#move(record, number, ['fenced'], 'wiping', came);
      return { order, reason };
    } catch (error) {
      const why = messageOf(error);
      log.warn({ id: record.id, node: record.name, incident: number, reason: why }, 'no order to wipe');
      // Nothing that waiting would change.
      if (error instanceof BootwaveError && FOR_PEOPLE.includes(error.code))
        await this.#move(record, number, ['fenced', 'wiping'], 'person', error.what);
      return {
        order: null,
        reason: error instanceof BootwaveError ? error.what : 'the signer does not answer',
      };
    }
  }

  async wiped(record: NodeRecord, incident: Incident, { wiped, left, open }: WipeReport): Promise<void> {
    const { number } = incident;
    const missing = record.disks.filter((disk) => !wiped.includes(disk));
    const why = [
      ...open.map(({ name, why: what }) => `${name}: ${what}`),
      ...missing
        .filter((disk) => !open.some(({ name }) => name === disk))
        .map((disk) => `${disk}: not wiped`),
    ];
    if (why.length > 0) {
      const what = `what Bootwave installed could not all be wiped: ${why.slice(0, 8).join('; ')}`.slice(
        0,
        1000,
      );
      await this.#move(record, number, ['wiping'], 'person', what);
      throw new BootwaveError({ code: 'WIPE_OPEN', what, unchanged: 'the machine stays held' });
    }
    // It has an image from before this, or could not say it.
    const unseen =
      incident.disks !== undefined && incident.disks.shown !== true
        ? '; nothing was read of its disks before'
        : '';
    const done = `wiped and read back: ${list(wiped)}; left alone: ${list(left)}${unseen}`;
    const wipe = { disks: wiped, left, at: this.#parts.now() };
    // Meanwhile it may have become a person's matter: then it stays held, and the machine hears that when it asks again.
    if (!(await this.#move(record, number, ['wiping'], 'wiped', done, wipe))) return;
    await this.#parts.fleet.nodes.update(record.id, (now) => {
      if (now === null || now.state !== 'quarantined') return { outcome: { kind: 'same' } };
      const step = { at: this.#parts.now(), actor: RECOVERY, action: RECOVERY, reason: done };
      return { outcome: take(now, { ...step, to: 'recovering', set: { installedAt: null, disks: [] } }) };
    });
  }

  async disksAsked(record: NodeRecord, { number }: Incident): Promise<DiskRead | null> {
    const { fleet, now } = this.#parts;
    const { evidence } = (await fleet.sites.get(record.site)).policy;
    const { incident } = await decideIncident(
      fleet,
      record.id,
      (known) => (known?.number === number ? askedNow(known, evidence, resetsOf(record)) : null),
      { actor: RECOVERY, at: now() },
    );
    const disks = incident?.number === number ? incident.disks : undefined;
    return disks === undefined || disks.shown === true || disks.asked !== resetsOf(record)
      ? null
      : disks.read;
  }

  async disksShown(record: NodeRecord, incident: Incident, said: DisksSaid): Promise<void> {
    const { fleet, folder, now } = this.#parts;
    const { disks, missing } = readDiskEvidence(said.report);
    const { asked, shown } = incident.disks ?? {};
    if (asked === undefined || asked !== resetsOf(record) || shown === true)
      throw refusal('EVIDENCE_UNASKED', `${record.name} was not asked in this boot what is on its disks`);
    const parts = [
      { name: 'disks.json', bytes: Buffer.from(said.report) },
      { name: 'quote.json', bytes: Buffer.from(JSON.stringify({ ak: said.ak, quote: said.quote })) },
    ];
    await keep(
      { fleet, folder },
      { record, incident },
      { parts, missing, moment: 'disks' },
      { actor: RECOVERY, at: now() },
      (known) => ({
        ...known,
        disks: { ...known.disks!, shown: true },
        evidence: grown(known.evidence, disks.map(lineOf)),
      }),
    );
  }

  async returned(record: NodeRecord): Promise<void> {
    const incident = this.#parts.fleet.decisions.incidents.of(record.id);
    if (incident?.step === 'wiped')
      await this.#move(
        record,
        incident.number,
        ['wiped'],
        'returning',
        'it is a member again, with new keys',
      );
  }

  /** Whether evidence is to be collected first. @returns null: it was, or nobody wants it */
  async #missing({ site }: NodeRecord, incident: Incident): Promise<{ waits: boolean } | null> {
    const now = this.#parts.now();
    const { evidence } = (await this.#parts.fleet.sites.get(site)).policy;
    if (evidence === 'none' || incident.step !== 'fenced' || momentOf(incident, now) === null) return null;
    return { waits: now - since(incident) < EVIDENCE_FIRST };
  }

  async #order({ id, site, disks }: NodeRecord, number: number): Promise<OrderEnvelope> {
    const { fleet, signer, now } = this.#parts;
    const { redis, sites } = fleet;
    const { recovery } = (await sites.get(site)).policy;
    const others = recovery === 'wipe-all' ? 'wipe' : 'leave';
    const incident: OrderedWipe = { number, installed: [...disks], others };
    const inForce = (await readIssued(redis, [id])).get(id);
    const standing = await standingOf(redis, signer, id);
    const order = await reissue(redis, {
      node: id,
      wanted: { ...WIPE, services: [], forgiven: [], incident },
      inForce,
      ...{ by: RECOVERY, kind: 'stage', floor: standing.epoch, now: now(), race: 'RECOVERY_ORDER_RACE' },
    });
    return sign(redis, signer, order);
  }

  async #move(
    { id }: NodeRecord,
    number: number,
    from: readonly IncidentStep[],
    to: IncidentStep,
    reason: string,
    wipe?: NonNullable<Incident['wipe']>,
  ): Promise<boolean> {
    const { fleet, now } = this.#parts;
    const { changed } = await decideIncident(
      fleet,
      id,
      (known) =>
        known?.number === number && from.includes(known.step)
          ? { ...known, step: to, reason, wipe: wipe ?? known.wipe }
          : null,
      { actor: RECOVERY, at: now() },
    );
    return changed;
  }
}

/** Once in a fence: what is read in a later boot may be half wiped. */
function askedNow(known: Incident, evidence: Policy['evidence'], asked: number | null): Incident | null {
  const wanted = known.disks ?? (evidence === 'disks' ? { read: 'heads' as const, by: RECOVERY } : undefined);
  return wanted === undefined || wanted.asked !== undefined
    ? null
    : { ...known, disks: { ...wanted, asked } };
}

const resetsOf = ({ observed }: NodeRecord): number | null => observed.clock?.resets ?? null;

function lineOf({ name, size, parts }: DiskEvidence['disks'][number]): string {
  const last = parts.at(-1);
  const what = last === undefined ? 'nothing was read' : `SHA-256 ${last.sha256} of ${last.what}`;
  return `before its wipe disk ${name} had ${size} bytes, ${parts.length} parts read: ${what}`;
}

const WIPE = { mode: 'netboot', image: null, config: null, wipe: true } as const;

/** Refusals of the signer that stay until people have decided something. */
const FOR_PEOPLE: readonly string[] = ['SIGNER_INCIDENT_UNSAID'];

const list = (disks: readonly string[]): string => disks.join(', ') || 'none';
