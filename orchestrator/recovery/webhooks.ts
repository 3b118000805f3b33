/** Systems outside (intrusion detection, monitoring) that may say that a node is not as it should be: who, of which sites, and what. */
import { z } from 'zod';
import { BootwaveError, refusal } from '../../base/error.ts';
import {
  readWebhook,
  SAYINGS,
  UNSIGNED,
  WEBHOOK_LIMITS,
  type WebhookHeaders,
} from '../../protocol/webhook.ts';
import { Shelf } from '../fleet/decisions/shelf.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { NodeRecord } from '../fleet/record.ts';
import type { Saw } from '../fleet/sight.ts';
import { isRegistered } from '../fleet/transitions.ts';
import { SEVERITIES } from './rules.ts';

const sourceSchema = z.object({
  /** As `webhookKeyIn` writes it: the server keeps no secret of it. */
  key: z.string(),
  severity: z.enum(SEVERITIES),
  sites: z.array(z.string()).min(1).max(64),
  says: z.array(z.enum(SAYINGS)).min(1).max(SAYINGS.length),
});
export type Source = z.infer<typeof sourceSchema>;

export const WEBHOOKS = new Shelf<Source>('webhook', sourceSchema);

/** How much a report counts, of the times that the rule of its signal asks for (signals.ts). */
const WEIGHTS = { critical: Number.POSITIVE_INFINITY, serious: 1, minor: 0.5 } as const;

/** Reports of one source within a minute. */
const MOST = 60;
const MINUTE = 60_000;

export type ReportParts = { fleet: Fleet; saw: Saw; now?: () => number };

/** What sources say becomes signals, of one server. */
export class Reports {
  readonly #parts: ReportParts;
  readonly #now: () => number;
  readonly #since: number;
  /** Ids that were taken, and when, by source: as long as a message counts, and a minute. */
  readonly #taken = new Map<string, Map<string, number>>();

  constructor(parts: ReportParts) {
    this.#parts = parts;
    this.#now = parts.now ?? Date.now;
    this.#since = this.#now();
  }

  /**
   * @returns `fresh` false: it was taken before, and counts once
   * @throws BootwaveError `WEBHOOK_SIGNATURE`, `WEBHOOK_TIME`, `WEBHOOK_BODY`, `WEBHOOK_RATE`, `WEBHOOK_SAYS`, `WEBHOOK_NODE`, and the
   * error of Redis: then it may be sent again
   */
  async take(name: string, headers: WebhookHeaders, body: Uint8Array): Promise<{ fresh: boolean }> {
    const source = (await WEBHOOKS.get(this.#parts.fleet, name))?.value;
    const now = this.#now();
    // Who has no key is not told which sources there are.
    if (source === undefined) throw refusal(UNSIGNED.code, UNSIGNED.what);
    const said = readWebhook(headers, body, source.key, { now, since: this.#since });
    if ('code' in said) throw refusal(said.code, said.what);
    if (!this.#isFirst(name, said.id, now)) return { fresh: false };
    try {
      const { id } = await this.#nodeOf(source, said.node);
      if (!source.says.includes(said.says))
        throw refusal('WEBHOOK_SAYS', `webhook ${name} may not say that a node is ${said.says}`);
      const { severity } = source;
      const text = `webhook ${name} (${severity}, ${said.id}): ${said.reason}`;
      this.#parts.saw({
        kind: 'reported',
        node: id,
        at: now,
        says: said.says,
        weight: WEIGHTS[severity],
        text,
      });
    } catch (error) {
      // What only could not be done now may be sent again.
      if (!(error instanceof BootwaveError && error.code.startsWith('WEBHOOK_')))
        this.#taken.get(name)?.delete(said.id);
      throw error;
    }
    return { fresh: true };
  }

  #isFirst(name: string, id: string, now: number): boolean {
    const taken = this.#taken.get(name) ?? new Map<string, number>();
    this.#taken.set(name, taken);
    for (const [one, at] of taken) if (now - at > 2 * WEBHOOK_LIMITS.skew + MINUTE) taken.delete(one);
    if (taken.has(id)) return false;
    const lately = [...taken.values()].filter((at) => now - at < MINUTE).length;
    if (lately >= MOST)
      throw refusal(
        'WEBHOOK_RATE',
        `webhook ${name} said ${MOST} things within a minute`,
        'send it again later',
      );
    taken.set(id, now);
    return true;
  }

  /** A node of another site is told as one that is not there. */
  async #nodeOf({ sites }: Source, word: string): Promise<NodeRecord> {
    const record = await this.#parts.fleet.nodes.resolve(word).catch((error: unknown) => {
      if (error instanceof BootwaveError && /^NODE_/.test(error.code)) return null;
      throw error;
    });
    if (record !== null && sites.includes(record.site) && isRegistered(record.state)) return record;
    throw refusal('WEBHOOK_NODE', `no member at sites ${sites.join(', ')} is '${word}'`);
  }
}
