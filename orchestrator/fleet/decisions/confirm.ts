/** From when on Redis is believed no more: at once in a new fleet, when a person has looked in one that is older. */
import { BootwaveError } from '../../../base/error.ts';
import type { Logger } from '../../../base/log.ts';
import type { By } from '../acting.ts';
import { modelOf } from '../attestation.ts';
import { auditLine } from '../audit/audit.ts';
import type { Fleet } from '../fleet.ts';
import { KEYS } from '../keys.ts';
import type { NodeRecord } from '../record.ts';
import { PAGE } from '../stream.ts';
import { sealConfirmed, sealDecided } from './entry.ts';
import type { HeldAs } from './held-as.ts';
import { LIVES, lifeKey } from './lives.ts';
import { placeOf } from './place.ts';
import { CONFIGS_BEGUN, ROLLOUTS_BEGUN } from './rollouts.ts';
import { SLICES, sliceKey } from './slices.ts';
import type { Decision } from './standing.ts';

/** @param nodes members; @param records sites, expectations, models whose firmware is known, and templates */
export type Confirmed = { nodes: number; records: number; fresh: boolean };

/** @returns whether only what was decided counts from now on */
export async function beginDecisions(fleet: Fleet, log: Logger, by: By): Promise<boolean> {
  if (fleet.decisions.confirmed) {
    const { begun, configs } = fleet.decisions.rollouts;
    if (begun && !configs.begun)
      log.warn(
        { code: 'CONFIGS_UNCONFIRMED' },
        "what configurations the nodes of this fleet have is older than its decisions about them, and whoever writes to Redis can give nodes any that was published until an admin has looked at them: 'bootwave config list', then 'bootwave audit confirm'",
      );
    if (!begun)
      log.warn(
        { code: 'ROLLOUTS_UNCONFIRMED' },
        "the rollouts of this fleet are older than its decisions about them, and whoever writes to Redis can start one until an admin has looked at them: 'bootwave rollout list', then 'bootwave audit confirm'",
      );
    return true;
  }
  const { redis } = fleet;
  const held = await redis.exists(KEYS.nodes, KEYS.sites, KEYS.expectations, KEYS.firmwares, KEYS.templates);
  if (held === 0) {
    await confirmed(fleet, by, 'a new fleet', [rolloutsBegun([], by), configsBegun([], by)]);
    return true;
  }
  log.warn(
    { code: 'RECORDS_UNCONFIRMED' },
    "the records of this fleet are older than its log of decisions, and are believed until an admin has looked at them: 'bootwave node list', then 'bootwave audit confirm'",
  );
  return false;
}

/**
 * What Redis holds now counts as decided. Once: later it changes nothing.
 * @throws BootwaveError `DECISIONS_UNKNOWN` in a process that keeps no log
 */
export async function confirmRecords(fleet: Fleet, by: By): Promise<Confirmed> {
  const { decisions, nodes } = fleet;
  if (decisions.confirmed) return { nodes: 0, records: 0, fresh: false };
  const held = await heldUntilNow(fleet);
  const members = (await nodes.getMany(await nodes.ids()))
    .map((record) => decisions.placed(null, record, by, 'confirmed', held(record)))
    .filter((entry) => entry !== null);
  const records = await recordsOf(fleet, by);
  const all: Decision[] = [...members, ...records];
  for (let i = 0; i < all.length; i += PAGE) await decisions.commit({ records: [] }, all.slice(i, i + PAGE));
  await confirmed(fleet, by, `${members.length} members and ${records.length} other records`);
  return { nodes: members.length, records: records.length, fresh: true };
}

/**
 * What members are held against as far as Redis says it, in a fleet that is older than decisions about that: it counts as
 * decided from now on. Before `configsBegun`.
 */
export async function confirmHeld(fleet: Fleet, by: By): Promise<void> {
  const { decisions, nodes } = fleet;
  const held = await heldUntilNow(fleet);
  const more = (await nodes.getMany(await nodes.ids())).flatMap((record) => {
    if (placeOf(record) === null || decisions.heldAs(record.id) !== undefined) return [];
    return decisions.placed(record, record, by, 'confirmed', held(record)) ?? [];
  });
  for (let i = 0; i < more.length; i += PAGE)
    await decisions.commit({ records: [] }, more.slice(i, i + PAGE));
}

async function heldUntilNow({ firmware }: Fleet): Promise<(record: NodeRecord) => HeldAs> {
  const models = await firmware.models();
  return (record) => ({
    model: models.get(record.id) ?? modelOf(record),
    uefi: record.inventory.firmware.kind === 'uefi',
    secureBoot: record.observed.secureBoot === 'on',
  });
}

/** @param versions images that nodes run, or were brought to, before */
export const rolloutsBegun = (versions: readonly string[], by: By): Decision =>
  begun(ROLLOUTS_BEGUN, { versions }, by);

/** @param configs SHA-256 of the configurations that nodes have, or may be taken back to */
export const configsBegun = (configs: readonly string[], by: By): Decision =>
  begun(CONFIGS_BEGUN, { configs }, by);

function begun(key: string, what: object, { actor, at }: By): Decision {
  const body = JSON.stringify(what);
  return sealDecided({ kind: 'record', actor, at, reason: 'confirmed', key, epoch: 1, body });
}

async function confirmed(
  fleet: Fleet,
  by: By,
  reason: string,
  more: readonly Decision[] = [],
): Promise<void> {
  const entry = sealConfirmed({ kind: 'confirmed', actor: by.actor, at: by.at, reason });
  const audit = [auditLine({ ...by, action: 'confirm-records', reason })];
  await fleet.decisions.commit({ records: [], audit }, [entry, ...more]);
  if (!fleet.decisions.confirmed)
    throw new BootwaveError({
      code: 'DECISIONS_UNKNOWN',
      what: 'the confirmation could not be kept: there is no key of a servers CA here',
      unchanged: 'Redis is believed as before',
      next: 'do it where the keys are',
    });
}

async function recordsOf({ redis }: Fleet, by: By): Promise<Decision[]> {
  const [sites, expectations, models, templates, lives, slices] = await Promise.all([
    redis.smembers(KEYS.sites),
    redis.smembers(KEYS.expectations),
    redis.smembers(KEYS.firmwares),
    redis.smembers(KEYS.templates),
    redis.smembers(LIVES),
    redis.smembers(SLICES),
  ]);
  const keys = [
    ...sites.map(KEYS.site),
    ...expectations.map(KEYS.expectation),
    ...models.map(KEYS.firmware),
    ...templates.map(KEYS.template),
    ...lives.map(lifeKey),
    ...slices.map(sliceKey),
  ];
  const found: Decision[] = [];
  for (const key of keys) {
    const [body = null, epoch = null] = await redis.hmget(key, 'body', 'epoch');
    const { actor, at } = by;
    if (body !== null && Number.isInteger(Number(epoch)) && Number(epoch) > 0)
      found.push(
        sealDecided({ kind: 'record', actor, at, reason: 'confirmed', key, epoch: Number(epoch), body }),
      );
  }
  return found;
}
