/** Systems outside (intrusion detection, monitoring) that may say that a node is not as it should be: who, of which sites, and what. */
import { z } from 'zod';
import { BootwaveError, refusal } from '../../base/error.ts';
import { Turns } from '../../base/turns.ts';
import { readWebhook, SAYINGS, UNSIGNED, type Webhook, type WebhookHeaders } from '../../protocol/webhook.ts';
import { Shelf } from '../fleet/decisions/shelf.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { NodeRecord } from '../fleet/record.ts';
import type { Saw } from '../fleet/sight.ts';
import { isRegistered } from '../fleet/transitions.ts';
import { SEVERITIES } from './rules.ts';
import type { Taken } from './taken.ts';

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

export type ReportParts = { fleet: Fleet; saw: Saw; taken: Taken; now?: () => number };

/** What sources say becomes signals, of one server. */
export class Reports {
  readonly #parts: ReportParts;
  readonly #now: () => number;
  /** When each key said something within the last minute. */
  readonly #lately = new Map<string, number[]>();
  /** The same message that comes twice at once: the second one learns what became of the first. */
  readonly #turns = new Turns();

  constructor(parts: ReportParts) {
    this.#parts = parts;
    this.#now = parts.now ?? Date.now;
  }

  /**
   * @returns `fresh` false: it was taken before, and counts once
   * @throws BootwaveError `WEBHOOK_SIGNATURE`, `WEBHOOK_TIME`, `WEBHOOK_LATER`, `WEBHOOK_BODY`, `WEBHOOK_RATE`, `WEBHOOK_SAYS`,
   * `WEBHOOK_NODE`, and the error of Redis or of the disk; whatever it is, it was not taken, and may be sent again
   */
  async take(name: string, headers: WebhookHeaders, body: Uint8Array): Promise<{ fresh: boolean }> {
    const { fleet, taken } = this.#parts;
    const source = (await WEBHOOKS.get(fleet, name))?.value;
    const now = this.#now();
    // Who has no key is not told which sources there are.
    if (source === undefined) throw refusal(UNSIGNED.code, UNSIGNED.what);
    const said = readWebhook(headers, body, source.key, { now, since: taken.since });
    if ('code' in said) throw refusal(said.code, said.what);
    return this.#turns.take(() => this.#takeSigned(name, source, said, now));
  }

  async #takeSigned(name: string, source: Source, said: Webhook, now: number): Promise<{ fresh: boolean }> {
    const { taken, saw } = this.#parts;
    // A message does not say under which name it comes: a key that has two of them is one system.
    const { key, severity } = source;
    if (taken.has(key, said.id)) return { fresh: false };
    this.#mustBeSlow(name, key, now);
    const { id } = await this.#nodeOf(source, said.node);
    if (!source.says.includes(said.says))
      throw refusal('WEBHOOK_SAYS', `webhook ${name} may not say that a node is ${said.says}`);
    const text = `webhook ${name} (${severity}, ${said.id}): ${said.reason}`;
    await taken.add(key, said.id, now);
    saw({ kind: 'reported', node: id, at: now, says: said.says, weight: WEIGHTS[severity], text });
    return { fresh: true };
  }

  #mustBeSlow(name: string, key: string, now: number): void {
    const lately = (this.#lately.get(key) ?? []).filter((at) => now - at < MINUTE);
    if (lately.length >= MOST)
      throw refusal(
        'WEBHOOK_RATE',
        `webhook ${name} said ${MOST} things within a minute`,
        'send it again later',
      );
    this.#lately.set(key, [...lately, now]);
  }

  /** A node of another site is told as one that is not there. */
  async #nodeOf({ sites }: Source, word: string): Promise<NodeRecord> {
    const { nodes, decisions } = this.#parts.fleet;
    // A name means the node that people have given it, whatever the indexes in Redis say.
    const record = await nodes
      .resolve(decisions.named(word.trim().toLowerCase()) ?? word)
      .catch((error: unknown) => {
        if (error instanceof BootwaveError && /^NODE_/.test(error.code)) return null;
        throw error;
      });
    if (record !== null && sites.includes(record.site) && isRegistered(record.state)) return record;
    throw refusal('WEBHOOK_NODE', `no member at sites ${sites.join(', ')} is '${word}'`);
  }
}
