/** Operations that need no server: performed by the calling process, on the files of this machine. */
import type { Logger } from '../../base/log.ts';
import { createLogger, logLevel } from '../../base/log.ts';
import type { DataPaths } from '../../base/paths.ts';
import type { DecisionKeeper } from '../fleet/decisions/keeper.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { openFleet } from '../operators/bans-of.ts';
import { byCertificate, byHost } from '../operators/identify.ts';
import type { Identity } from '../operators/judge.ts';
import { type Connection, connect } from '../redis/connect.ts';
import { find } from './catalogue.ts';
import type { House } from './operation.ts';
import { perform } from './perform.ts';

export type HereOptions = {
  paths: DataPaths;
  /** File with certificate and key; absent: the user that runs this process. */
  as?: string | undefined;
  signal: AbortSignal;
  tell(progress: unknown): void;
  onRenew?(): void;
};

const NOBODY: Identity = { actor: 'anyone', role: 'viewer', sites: [] };

/** @throws BootwaveError as `perform`, and what `byCertificate` and `byHost` throw */
export async function performHere(options: HereOptions, operation: string, input: unknown): Promise<unknown> {
  const { paths, as, signal, tell } = options;
  const log = createLogger('bootwave', logLevel('warn'));
  const { who } = find(operation);
  const identity =
    who === 'anyone' ? NOBODY : as ? await byCertificate(paths, as, Date.now()) : await byHost(paths);
  if (identity.renew === true) options.onRenew?.();
  const records = new OwnRecords(paths, log);
  const house: House = {
    ...{ paths, log, signal, find },
    records: () => records.open(),
    wires: () => undefined,
    links: () => undefined,
    now: Date.now,
  };
  try {
    const done = await perform(house, { identity, tell }, { operation, input });
    if (done.kind !== 'done')
      throw new Error(`${operation} is declared to work without a server and takes two people`);
    return done.result;
  } finally {
    await records.close();
  }
}

/** The records, opened when first asked for, with what this machine knows of the bans kept in its journal. */
class OwnRecords {
  readonly #paths: DataPaths;
  readonly #log: Logger;
  #opened: Promise<{ connection: Connection; fleet: Fleet; bans: DecisionKeeper }> | null = null;

  constructor(paths: DataPaths, log: Logger) {
    this.#paths = paths;
    this.#log = log;
  }

  open(): Promise<{ fleet: Fleet; bans: DecisionKeeper }> {
    this.#opened ??= this.#open();
    return this.#opened;
  }

  async #open() {
    const [paths, log] = [this.#paths, this.#log];
    const connection = await connect(paths);
    try {
      return { connection, ...(await openFleet(paths, connection.redis, log)) };
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    const opened = await this.#opened?.catch(() => null);
    if (opened == null) return;
    try {
      // The result is in the journal too: it must not be forgotten because no server ran.
      await opened.bans.look();
    } finally {
      await opened.connection.close();
    }
  }
}
