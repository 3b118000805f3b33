import { isDeepStrictEqual } from 'node:util';
import type { Envelope } from '../../protocol/envelope.ts';
import { makeGrant } from '../../protocol/grant.ts';
import { type Order, orderSchema, type Rescue } from '../../protocol/order.ts';
import {
  type OrderEnvelope,
  orderEnvelope,
  signedBytes,
  verifyOrder,
} from '../../protocol/order-envelope.ts';
import type { Known } from '../operators/people.ts';
import type { Signed as Asked } from '../operators/request.ts';
import type { OrderSigner, Standing } from '../orders/order-signer.ts';
import { configuredOf } from './configure.ts';
import type { Consents, Rules } from './consents.ts';
import type { DecisionsHere } from './decisions.ts';
import { judgeGrant, wishOf } from './grant.ts';
import type { GrantSigner } from './grant-for.ts';
import { decidedFor, judge, rescueNow, restraintsOf, type SignerLimits, wipeConsent } from './judge.ts';
import type { Ledger, Signed } from './ledger.ts';
import { hadOf } from './move.ts';
import type { OrderKey } from './order-key.ts';
import { isNothing, type ServiceGrounds, servedOf } from './services.ts';
import { unsigned } from './unsigned.ts';

export type SignerParts = {
  key: OrderKey;
  ledger: Ledger;
  consents: Consents;
  decisions: DecisionsHere;
  /** The image for new hardware, by what is on this machine's disk; null: there is none. */
  newest(rules: Rules): Promise<string | null>;
  /** Facts of a published image; null: no image has that version. */
  facts(version: string): Promise<{ sha256: string; size: number } | null>;
  bundles(): Promise<ServiceGrounds['released']>;
  /** Who was given a certificate, and whose was taken back, by what is on this machine's disk. */
  operators(): Promise<Known>;
  limits: SignerLimits;
  /** Milliseconds since the epoch. */
  now(): number;
};

/** The one place that uses the order key. */
export class Signer implements OrderSigner, GrantSigner {
  readonly #parts: SignerParts;

  constructor(parts: SignerParts) {
    this.#parts = parts;
  }

  async sign(asked: unknown, shown?: string): Promise<OrderEnvelope> {
    const { key, ledger, consents, decisions, facts, bundles, limits, now } = this.#parts;
    const order = wellFormed(asked);
    const [rules, decided, published, released] = await Promise.all([
      consents.current(),
      decisions.current(),
      order.image === null ? null : facts(order.image.version),
      order.services.length === 0 ? new Map() : bundles(),
    ]);
    const { begun, begunAt } = decided.rollouts;
    // Nothing else asks for it: a rollout of thousands of nodes would have the folder read for each of them.
    const isOpen = begun && order.image !== null && !decided.rollouts.gave(order.image.version);
    const newest = isOpen ? await this.#parts.newest(rules) : null;
    // Nothing is awaited between the look into the ledger and the entry in it: two orders of one epoch meet here.
    const last = ledger.of(order.node);
    const nodes = ledger.nodes(now());
    const seen = contentOf(shown === undefined ? null : shownOrder(shown, order.node, key, last));
    const had = hadOf(last, seen?.order ?? null, begunAt);
    const grounds = {
      ...{ nodes, rules, facts: published, last, had, decided, newest, limits },
      ...{ configured: configuredOf(last, seen), served: servedOf(last, seen?.order ?? null), released },
      ...{ wipes: ledger.wipes, now: now() },
    };
    // Another server has seen that the node knows reservations.
    const { reservations = seen?.order.reservations } = order;
    const { payload, entry } = judge(
      reservations === undefined ? order : { ...order, reservations },
      grounds,
    );
    await (entry === null ? ledger.settled() : ledger.append(entry));
    return orderEnvelope(payload, key.id, await key.sign(signedBytes(payload)));
  }

  async learn(node: string, shown: string): Promise<void> {
    const { key, ledger, decisions, now } = this.#parts;
    const { begunAt } = (await decisions.current()).rollouts;
    const last = ledger.of(node);
    const seen = shownOrder(shown, node, key, last);
    if (seen === null || seen.order.epoch <= (last?.epoch ?? 0)) return;
    const { epoch, image, floor = null, restraints, reservations, rescue } = seen.order;
    const content = contentOf(seen);
    const { isOld: _, ...moved } = hadOf(last, content?.order ?? null, begunAt);
    const configured = configuredOf(last, content) ?? undefined;
    const served = servedOf(last, content?.order ?? null);
    await ledger.learn({
      ...{ node, epoch, digest: seen.digest, at: now(), image: image?.version ?? null, floor, wipe: null },
      ...{ moved, configured, ...(isNothing(served) ? {} : { served }) },
      ...(restraints === undefined ? {} : { restraints }),
      ...(reservations === undefined ? {} : { reservations }),
      ...(rescue === undefined ? {} : { rescue }),
    });
  }

  async grant(signed: Asked, shown?: string): Promise<Envelope> {
    const { key, ledger, decisions, operators, now } = this.#parts;
    const [known, decided] = await Promise.all([operators(), decisions.current()]);
    const node = wishOf(signed.text)?.node ?? '';
    const last = ledger.of(node);
    const seen = shown === undefined ? null : contentOf(shownOrder(shown, node, key, last));
    const services = servedOf(last, seen?.order ?? null).now;
    const grant = judgeGrant(signed, { known, decided, services: [...services], now: now() });
    return makeGrant(grant, key.id, (bytes) => key.sign(bytes));
  }

  async standing(node: string, shown?: string): Promise<Standing> {
    const { key, ledger, consents, decisions, now } = this.#parts;
    const [rules, decided] = await Promise.all([consents.current(), decisions.current()]);
    await ledger.settled();
    const wipe = wipeConsent(node, rules, ledger.wipes, now())?.at ?? null;
    const last = ledger.of(node);
    const seen = shown === undefined ? null : shownOrder(shown, node, key, last);
    const { order } = seen ?? {};
    // Nothing is known of it here.
    if (last === null && order === undefined) return { epoch: 0, wipe };
    const content = contentOf(seen);
    const config = configuredOf(last, content)?.now;
    const isNewer = (order?.epoch ?? 0) > (last?.epoch ?? 0);
    const newest = isNewer ? { epoch: order!.epoch, digest: seen!.digest } : last!;
    const services = servedOf(last, content?.order ?? null).now;
    const signed = (isNewer ? order!.restraints : last!.restraints) ?? [];
    const isRestrained =
      JSON.stringify(signed) === JSON.stringify(restraintsOf({ node, services: [...services] }, decided));
    // What is over asks for no other order.
    const reserved = ((isNewer ? order!.reservations : last!.reservations) ?? []).filter(
      ({ until }) => until > now(),
    );
    const isReserved =
      JSON.stringify(reserved) ===
      JSON.stringify(decidedFor({ node, services: [...services] }, decided, now()));
    const rescue = (isNewer ? order!.rescue : last!.rescue) ?? null;
    const isRescued = isDeepStrictEqual(inTime(rescue, now()), rescueNow({ node }, decided, now()));
    return {
      ...{ epoch: newest.epoch, digest: newest.digest, wipe },
      ...(config === undefined ? {} : { config }),
      ...{ services, isRestrained, isReserved, isRescued },
    };
  }
}

/** Of an order that only wipes the machine has nothing: it is to have what it had. */
const contentOf = <S extends { order: Order }>(seen: S | null): S | null =>
  seen?.order.incident === undefined ? seen : null;

/** Access that is over asks for no other order. */
function inTime(rescue: Rescue | null, now: number): Rescue | null {
  if (rescue?.access === undefined || rescue.access.until > now) return rescue;
  return { incident: rescue.incident };
}

/**
 * An order that this fleet's key has signed for the node, whenever that was; null: it is none, or says nothing that is not
 * known here.
 */
function shownOrder(text: string, nodeId: string, { id, publicKey }: OrderKey, last: Signed | null) {
  try {
    const envelope = JSON.parse(text) as OrderEnvelope;
    const payload = Buffer.from(envelope.payload, 'base64').toString('utf8');
    const { issuedAt: now, epoch } = JSON.parse(payload) as Order;
    // Verifying costs more than all else here, and most are what this signer has signed itself.
    if (last !== null && (epoch < last.epoch || (epoch === last.epoch && last.configured !== undefined)))
      return null;
    return verifyOrder(envelope, new Map([[id, publicKey]]), { nodeId, now, last: null });
  } catch {
    return null;
  }
}

function wellFormed(asked: unknown): Order {
  const parsed = orderSchema.safeParse(asked);
  if (parsed.success) return parsed.data;
  throw unsigned('ORDER_MALFORMED', 'what is to be signed is not an order');
}
