import type { Redis } from 'ioredis';
import { BootwaveError } from '../../../base/error.ts';
import type { By } from '../acting.ts';
import { modelOf } from '../attestation.ts';
import type { Decisions } from '../decisions/decisions.ts';
import { DecidedRecords } from '../decisions/records.ts';
import { KEYS } from '../keys.ts';
import { contended, ROUNDS } from '../outcome.ts';
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

const RECORDS = new DecidedRecords<FirmwareModel>({
  ...{
    key: KEYS.firmware,
    all: KEYS.firmwares,
    schema: firmwareModelSchema,
    unreadable: 'FIRMWARE_UNREADABLE',
  },
  nameOf: ({ model }) => model,
  stateOf: ({ state }) => state,
  shown: (model) => `what is known of the firmware of ${model}`,
});

/** What is known of each model's firmware. */
export class FirmwareStore {
  readonly #kept: { redis: Redis; decisions: Decisions };

  constructor(redis: Redis, decisions: Decisions) {
    this.#kept = { redis, decisions };
  }

  /** @returns null while no member of this model has shown any, and nobody has accepted any */
  async get(model: string): Promise<FirmwareModel | null> {
    return (await RECORDS.read(this.#kept, model)) ?? null;
  }

  /** By model. */
  async list(): Promise<FirmwareModel[]> {
    return [...(await RECORDS.list(this.#kept)).values()];
  }

  /** Model that a node was let in as; null: none yet. */
  async modelOf(id: string): Promise<string | null> {
    const decided = this.#kept.decisions.heldAs(id)?.model;
    if (decided !== undefined || this.#kept.decisions.holds) return decided ?? null;
    return this.#kept.redis.hget(KEYS.firmwareModel, id);
  }

  /** The same for all nodes. */
  async models(): Promise<ReadonlyMap<string, string>> {
    const { models, holds } = this.#kept.decisions;
    const said = holds ? {} : await this.#kept.redis.hgetall(KEYS.firmwareModel);
    return new Map([...Object.entries(said), ...models]);
  }

  /** For this node everything starts again: a person has looked at it. */
  async release(id: string): Promise<void> {
    await this.#kept.redis.hdel(KEYS.firmwareModel, id);
  }

  /**
   * First use. The machine itself reports its model, so each member stands for one model, whatever its verdict: a
   * hostile member can neither invent models without end, nor be the first of another model to hide its firmware.
   */
  async learn(record: NodeRecord): Promise<void> {
    if (!isMember(record.state) || record.observed.pcrs === null) return;
    await this.#kept.redis.hsetnx(KEYS.firmwareModel, record.id, modelOf(record));
    const first = firstUse(record);
    if (first === null || (await this.modelOf(record.id)) !== first.model) return;
    const [value] = first.values;
    const by = { at: record.changedAt, actor: 'policy' };
    // If two are first at the same moment, one wins; the other is compared with it when it attests again.
    await RECORDS.decide(this.#kept, first.model, by, (known) => {
      if (known !== undefined) return null;
      const reason = `${first.model}: PCR 0 ${value?.pcr0}: first use`;
      return { next: first, action: 'firmware-learn', node: record.id, reason };
    });
  }

  /**
   * What a node shows counts for every node of its model from now on.
   * @returns `fresh` false: it was known already
   * @throws BootwaveError `FIRMWARE_NOT_SHOWN`, `FIRMWARE_CHANGED`, `FIRMWARE_TOO_MANY`
   */
  async accept(record: NodeRecord, word: Acceptance, by: By): Promise<Firmware & { fresh: boolean }> {
    const model = (await this.modelOf(record.id)) ?? modelOf(record);
    const shownBy = ({ values }: FirmwareModel) =>
      values.find(({ pcr0 }) => pcr0 === record.observed.pcrs?.['0'])!;
    const { before, after } = await RECORDS.decide(this.#kept, model, by, (known) => {
      const next = accepted(known ?? null, record, { ...word, model, by });
      if (next === known) return null;
      const reason = `${model}: PCR 0 ${shownBy(next).pcr0}: ${word.reason}`;
      return { next, action: 'firmware-accept', node: record.id, reason };
    });
    return { model, value: shownBy(after ?? before!), fresh: after !== null };
  }

  /**
   * @param digits PCR 0 or the beginning of it, hex
   * @param model needed if several models have the value; undefined: the only one that has it
   * @throws BootwaveError `FIRMWARE_UNKNOWN`, `FIRMWARE_AMBIGUOUS`
   */
  async forget(digits: string, model: string | undefined, reason: string, by: By): Promise<Firmware> {
    for (let round = 0; round < ROUNDS; round += 1) {
      const { known, value } = this.#find(await this.list(), digits.trim().toLowerCase(), model);
      const { model: name } = known;
      const { after } = await RECORDS.decide(this.#kept, name, by, (now) => {
        if (now?.epoch !== known.epoch) return null;
        const next = forgotten(known, value.pcr0, reason, by);
        return { next, action: 'firmware-forget', reason: `${name}: PCR 0 ${value.pcr0}: ${reason}` };
      });
      if (after !== null) return { model: name, value };
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
}
