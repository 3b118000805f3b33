import type { Redis } from 'ioredis';
import { BootwaveError } from '../../../base/error.ts';
import type { By } from '../acting.ts';
import { modelOf } from '../attestation.ts';
import { auditLine } from '../audit/audit.ts';
import type { AuditEntry } from '../audit/entry.ts';
import type { Change, RecordChange } from '../commit.ts';
import type { Decisions, Stored } from '../decisions/decisions.ts';
import { KEYS } from '../keys.ts';
import { contended, ROUNDS } from '../outcome.ts';
import { leaveOut, readStored } from '../read-stored.ts';
import type { NodeRecord } from '../record.ts';
import { isMember } from '../transitions.ts';
import {
  type Acceptance,
  accepted,
  type FirmwareModel,
  type FirmwareValue,
  firmwareModelSchema,
  firstUse,
  forgotten,
} from './model.ts';

/** Digits of PCR 0 that must be named at least. */
const LEAST_DIGITS = 8;

export type Firmware = { model: string; value: FirmwareValue };

/** What is known of each model's firmware. */
export class FirmwareStore {
  readonly #redis: Redis;
  readonly #decisions: Decisions;

  constructor(redis: Redis, decisions: Decisions) {
    this.#redis = redis;
    this.#decisions = decisions;
  }

  /** @returns null while no member of this model has shown any, and nobody has accepted any */
  async get(model: string): Promise<FirmwareModel | null> {
    return (await this.#look(model)).known;
  }

  async #look(model: string): Promise<{ known: FirmwareModel | null; found: Stored['found'] }> {
    const { body, found } = await this.#decisions.stored(KEYS.firmware(model));
    if (body === null) return { known: null, found };
    const known = readStored(firmwareModelSchema, body);
    if (known !== null) return { known, found };
    throw new BootwaveError({
      code: 'FIRMWARE_UNREADABLE',
      what: `what is known of the firmware of ${model} cannot be read`,
      unchanged: 'nothing was changed',
      next: 'was it written by a newer version of bootwave? Use that one',
    });
  }

  /** By model. */
  async list(): Promise<FirmwareModel[]> {
    const known = await this.#redis.smembers(KEYS.firmwares);
    const models = [...new Set([...known, ...this.#decisions.names(KEYS.firmware)])].sort();
    const found = await Promise.all(models.map((model) => this.get(model).catch(leaveOut)));
    return found.filter((known) => known !== null);
  }

  /** Model that a node was let in as; null: none yet. */
  async modelOf(id: string): Promise<string | null> {
    const decided = this.#decisions.heldAs(id)?.model;
    if (decided !== undefined || this.#decisions.holds) return decided ?? null;
    return this.#redis.hget(KEYS.firmwareModel, id);
  }

  /** The same for all nodes. */
  async models(): Promise<ReadonlyMap<string, string>> {
    const { models, holds } = this.#decisions;
    const said = holds ? {} : await this.#redis.hgetall(KEYS.firmwareModel);
    return new Map([...Object.entries(said), ...models]);
  }

  /** For this node everything starts again: a person has looked at it. */
  async release(id: string): Promise<void> {
    await this.#redis.hdel(KEYS.firmwareModel, id);
  }

  /**
   * First use. The machine itself reports its model, so each member stands for one model, whatever its verdict: a
   * hostile member can neither invent models without end, nor be the first of another model to hide its firmware.
   */
  async learn(record: NodeRecord): Promise<void> {
    if (!isMember(record.state) || record.observed.pcrs === null) return;
    await this.#redis.hsetnx(KEYS.firmwareModel, record.id, modelOf(record));
    const first = firstUse(record);
    if (first === null || (await this.modelOf(record.id)) !== first.model) return;
    const { known, found } = await this.#look(first.model);
    if (known !== null) return;
    const [value] = first.values;
    // If two are first at the same moment, one wins; the other is compared with it when it attests again.
    await this.#write(found, first, {
      at: record.changedAt,
      actor: 'policy',
      node: record.id,
      action: 'firmware-learn',
      reason: `${first.model}: PCR 0 ${value?.pcr0}: first use`,
    });
  }

  /**
   * What a node shows counts for every node of its model from now on.
   * @returns `fresh` false: it was known already
   * @throws BootwaveError `FIRMWARE_NOT_SHOWN`, `FIRMWARE_CHANGED`, `FIRMWARE_TOO_MANY`
   */
  async accept(record: NodeRecord, word: Acceptance, by: By): Promise<Firmware & { fresh: boolean }> {
    const model = (await this.modelOf(record.id)) ?? modelOf(record);
    for (let round = 0; round < ROUNDS; round += 1) {
      const { known: before, found } = await this.#look(model);
      const after = accepted(before, record, { ...word, model, by });
      const value = after.values.find(({ pcr0 }) => pcr0 === record.observed.pcrs?.['0'])!;
      if (after === before) return { model, value, fresh: false };
      const said = `${model}: PCR 0 ${value.pcr0}: ${word.reason}`;
      const entry = { ...by, node: record.id, action: 'firmware-accept', reason: said };
      if (await this.#write(found, after, entry)) return { model, value, fresh: true };
    }
    throw contended(`the firmware of ${model}`, ROUNDS);
  }

  /**
   * @param digits PCR 0 or the beginning of it, hex
   * @param model needed if several models have the value; undefined: the only one that has it
   * @throws BootwaveError `FIRMWARE_UNKNOWN`, `FIRMWARE_AMBIGUOUS`
   */
  async forget(digits: string, model: string | undefined, reason: string, by: By): Promise<Firmware> {
    for (let round = 0; round < ROUNDS; round += 1) {
      const { known, value } = this.#find(await this.list(), digits.trim().toLowerCase(), model);
      const said = `${known.model}: PCR 0 ${value.pcr0}: ${reason}`;
      const entry = { ...by, action: 'firmware-forget', reason: said };
      const { known: now, found } = await this.#look(known.model);
      if (now?.epoch !== known.epoch) continue;
      if (await this.#write(found, forgotten(known, value.pcr0, reason, by), entry))
        return { model: known.model, value };
    }
    throw contended('the firmware that is known', ROUNDS);
  }

  #find(all: readonly FirmwareModel[], digits: string, model: string | undefined) {
    const fits = all
      .filter((known) => model === undefined || known.model === model)
      .flatMap((known) => known.values.map((value) => ({ known, value })))
      .filter(({ value }) => value.takenBack === null)
      .filter(({ value }) => digits.length >= LEAST_DIGITS && value.pcr0.startsWith(digits));
    const [only] = fits;
    if (only !== undefined && fits.length === 1) return only;
    const models = [...new Set(fits.map(({ known }) => known.model))];
    throw new BootwaveError({
      code: only === undefined ? 'FIRMWARE_UNKNOWN' : 'FIRMWARE_AMBIGUOUS',
      what:
        only === undefined
          ? `no known PCR 0 begins with '${digits}'`
          : `'${digits}' fits ${fits.length} values, of ${models.join(', ')}`,
      unchanged: 'nothing was forgotten',
      next:
        only === undefined
          ? `'bootwave firmware list' shows them; write ${LEAST_DIGITS} digits or more`
          : 'write more digits, or name one with --model',
    });
  }

  /** @returns false: another writer was faster */
  async #write(expect: Stored['found'], after: FirmwareModel, entry: AuditEntry): Promise<boolean> {
    const { model, state, epoch } = after;
    const next = { state, epoch, body: JSON.stringify(after) };
    const record: RecordChange = { key: KEYS.firmware(model), expect, next };
    const change: Change = {
      records: [record],
      ops: [{ op: 'join', key: KEYS.firmwares, value: model }],
      audit: [auditLine(entry)],
    };
    const done = await this.#decisions.commit(change, [this.#decisions.record(record, entry, entry.reason)]);
    return done.result === 'done';
  }
}
