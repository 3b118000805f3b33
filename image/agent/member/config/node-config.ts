/**
 * The agent's part of a configuration: checks a document against the signed order, has root apply it, and keeps it on
 * trial until the orchestrator contacts the node again. The node itself reverts a configuration that cuts it off; it
 * applies a good one again after every boot.
 */

import { BootwaveError, messageOf } from '../../../../base/error.ts';
import { flat } from '../../../../base/line.ts';
import { Turns } from '../../../../base/turns.ts';
import type { AskConfig, ConfigInForce } from '../../../../protocol/agent/config.ts';
import { digestOf, readDocument } from '../../../../protocol/configuration/document.ts';
import type { ArgsOf, ResultOf, Status } from '../../../../protocol/link/messages.ts';
import type { Order } from '../../../../protocol/order.ts';
import type { ConfigStore } from './record.ts';

export type ConfigParts = {
  ask: AskConfig;
  records: ConfigStore;
  /** The verified order in force; null before the first. */
  order(): { order: Pick<Order, 'epoch' | 'config'> } | null;
  /** Milliseconds. */
  trial?: number;
};

/** Milliseconds without contact from the orchestrator after which a new configuration is reverted. */
const CONFIG_TRIAL = 10 * 60_000;

export class NodeConfig {
  readonly #parts: ConfigParts;
  #now: ConfigInForce | null = null;
  /** What happens when the trial fails. */
  #good: ConfigInForce | null = null;
  #trial: NodeJS.Timeout | null = null;
  #error = '';
  /** One change at a time. */
  readonly #turns = new Turns();

  constructor(parts: ConfigParts) {
    this.#parts = parts;
  }

  /**
   * Once per start of the agent, before the link opens. After a boot nothing is in force, and the last good document
   * is applied; after a restart of the agent alone, the one that root has in force stays, on trial if it is not the
   * good one. Never throws: a node without its configuration is still a node, and reports what went wrong.
   */
  async start(): Promise<void> {
    await this.#turns.take(() => this.#start()).catch((error) => this.#note(error));
  }

  async #start(): Promise<void> {
    const { ask, records } = this.#parts;
    const record = await records.read();
    const { inForce, torn } = await ask({ operation: 'config-status' });
    this.#now = inForce;
    this.#good = record === null ? inForce : record.good;
    if (inForce !== null && !torn) {
      if (inForce.digest !== this.#good?.digest) this.#begin();
      return;
    }
    // The state partition proves nothing, and need not: root refuses everything that its list does not name.
    if (this.#good !== null || torn) await this.#apply(this.#good);
  }

  /** The link's operation. With `apply` false it only reports whether the document would be accepted. */
  async config({ epoch, document, apply }: ArgsOf<'config'>): Promise<ResultOf<'config'>> {
    return this.#turns.take(async () => {
      const wanted = this.#wanted(epoch, document);
      if (wanted !== null && !apply) {
        readDocument(Buffer.from(wanted.document, 'base64'));
        await this.#parts.ask({ operation: 'config-check', document: wanted.document });
      }
      if (apply && wanted?.digest !== this.#now?.digest) {
        try {
          if (wanted !== null) readDocument(Buffer.from(wanted.document, 'base64'));
          await this.#apply(wanted);
        } catch (error) {
          this.#note(error);
          throw error;
        }
        if (wanted?.digest === this.#good?.digest) this.#end();
        else this.#begin();
      }
      if (apply) this.#error = '';
      return { digest: this.#now?.digest ?? null };
    });
  }

  /**
   * Called when the orchestrator asks for `status`: a node that can be asked can be reached, which ends a trial well.
   */
  status(): NonNullable<Status['config']> {
    this.contact();
    const order = this.#parts.order();
    const digest = this.#now?.digest ?? null;
    return { digest, applied: digest === (order?.order.config ?? null), error: this.#error };
  }

  /** The fleet has reached this node under the configuration that is in force. */
  contact(): void {
    if (this.#trial === null) return;
    this.#end();
    this.#good = this.#now;
    void this.keep();
  }

  /** Also called after the place of the records has changed: the state partition was mounted. */
  async keep(): Promise<void> {
    const { records } = this.#parts;
    // If a record cannot be written, the next boot has no configuration, and the orchestrator sees that.
    await records.write({ format: 1, good: this.#good }).catch((error) => this.#note(error));
  }

  #wanted(epoch: number, document: string | null): ConfigInForce | null {
    const order = this.#parts.order()?.order;
    if (order?.epoch !== epoch)
      throw refusal('CONFIG_NO_ORDER', `no order of epoch ${epoch} is in force`, 'deliver the order first');
    const digest = document === null ? null : digestOf(Buffer.from(document, 'base64'));
    if (digest !== order.config)
      throw refusal(
        'CONFIG_DIGEST',
        `the order names ${order.config ?? 'no configuration'}, and ${digest ?? 'none'} came`,
        'deliver the document that the order names',
      );
    return digest === null || document === null ? null : { digest, document };
  }

  async #apply(wanted: ConfigInForce | null): Promise<void> {
    await this.#parts.ask({ operation: 'config-apply', document: wanted?.document ?? null });
    this.#now = wanted;
  }

  #begin(): void {
    this.#end();
    const patience = this.#parts.trial ?? CONFIG_TRIAL;
    const trial = setTimeout(() => void this.#turns.take(() => this.#takeBack(trial, patience)), patience);
    this.#trial = trial.unref();
  }

  #end(): void {
    if (this.#trial !== null) clearTimeout(this.#trial);
    this.#trial = null;
  }

  async #takeBack(trial: NodeJS.Timeout, patience: number): Promise<void> {
    // The trial ended well, or another change replaced it, while this waited for its turn.
    if (this.#trial !== trial) return;
    this.#end();
    const words = `nobody reached this node for ${patience / 1000} s under the new configuration; it was taken back`;
    await this.#apply(this.#good).then(
      () => {
        this.#error = words;
      },
      (error) => this.#note(error),
    );
  }

  #note(error: unknown): void {
    this.#error = flat(messageOf(error));
  }
}

function refusal(code: string, what: string, next: string): BootwaveError {
  return new BootwaveError({
    code,
    what,
    unchanged: 'the configuration in force stays in force',
    next,
  });
}
