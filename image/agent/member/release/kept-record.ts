import { type StateFile, stateFile } from '../state-file.ts';
import { NO_RECORD, type ReleaseRecord, recordSchema } from './failures.ts';

/** Where the record is kept. If it is lost, the ESP still shows what failed. */
export type RecordStore = StateFile<ReleaseRecord>;

export const recordFile = (path: string): RecordStore => stateFile(path, recordSchema, NO_RECORD);

/**
 * The record of this start of the agent: read once, written with each change. Change it only within a turn of the disk.
 */
export class KeptRecord {
  readonly #store: RecordStore;
  #record: ReleaseRecord | null = null;

  constructor(store: RecordStore) {
    this.#store = store;
  }

  async read(): Promise<ReleaseRecord> {
    this.#record ??= await this.#store.read();
    return this.#record;
  }

  async change(step: (record: ReleaseRecord) => ReleaseRecord): Promise<void> {
    const before = await this.read();
    const after = step(before);
    if (after === before) return;
    await this.#store.write(after);
    this.#record = after;
  }

  /** Writes it again: the place where it is kept has changed. */
  async keep(): Promise<void> {
    await this.#store.write(await this.read());
  }
}
