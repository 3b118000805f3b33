/** Gathers the grounds for a secret, has them judged, writes down that it is given, and only then gives it. */
import { readFile } from 'node:fs/promises';
import { BootwaveError, messageOf } from '../../base/error.ts';
import type { DataPaths } from '../../base/paths.ts';
import type { SecretsOfFleet } from '../../bootserver/enroll/secrets.ts';
import { perMetadata } from '../../image/publish/released.ts';
import { releasedServices } from '../../image/publish/services.ts';
import { keyLayout } from '../../keys/layout.ts';
import { ORDER_LIMITS } from '../../protocol/order.ts';
import {
  type OrderPublicKeys,
  readOrderKeys,
  type VerifiedOrder,
  verifyOrder,
} from '../../protocol/order-envelope.ts';
import {
  GROWTH_SECRET,
  type GrowthSecret,
  growthPurpose,
  growthSecret,
} from '../../protocol/service/growth.ts';
import { serviceOf, shownServiceVersion, sliceOf } from '../../protocol/service/name.ts';
import { forget } from '../../protocol/service/secrets.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { RefusalBudget } from '../fleet/refusal-budget.ts';
import type { OrderSigner } from '../orders/order-signer.ts';
import { standingOf } from '../orders/sign.ts';
import { judgeSecrets } from './judge.ts';
import type { SecretStore } from './store.ts';

export type FleetSecretsParts = {
  fleet: Fleet;
  paths: DataPaths;
  store: SecretStore;
  /** What was signed for a node, by this server's own disk. */
  signer: OrderSigner;
  /** Milliseconds since the epoch. */
  now(): number;
};

/** Each answer is a line of the history, which is kept for ever: as many as a node with all services of an order asks for, and some. */
const MOST_GIVEN = { perPeer: 2 * ORDER_LIMITS.services, overall: Number.POSITIVE_INFINITY, window: 600_000 };

export class FleetSecrets implements SecretsOfFleet {
  readonly #parts: FleetSecretsParts;
  readonly #budget = new RefusalBudget(MOST_GIVEN);
  readonly #services: () => ReturnType<typeof releasedServices>;

  constructor(parts: FleetSecretsParts) {
    this.#parts = parts;
    this.#services = perMetadata(parts.paths.releases, () => releasedServices(parts.paths));
  }

  newest(): Promise<number> {
    return this.#parts.store.newest();
  }

  numberOf(name: string): Promise<number> {
    return this.#parts.store.numberOf(name);
  }

  async give({ id, service, verdict, order: envelope }: Parameters<SecretsOfFleet['give']>[0]) {
    const { fleet, paths, store, signer, now } = this.#parts;
    const keys = readOrderKeys(await readFile(keyLayout(paths.keys).order.pub, 'utf8'));
    const shown = held(envelope, keys, id, now());
    const [record, bans, { epoch, digest = null }, all] = await Promise.all([
      fleet.nodes.get(id),
      fleet.bans(),
      // Another server may have signed a newer one: what bears the fleet's key counts, wherever it lies.
      standingOf(fleet.redis, signer, id),
      this.#services(),
    ]);
    const found = all.find(
      ({ name, version }) => name === serviceOf(service.name) && version === service.version,
    );
    const names = judgeSecrets({
      ...{ service, record, verdict, newest: { epoch, digest } },
      banned: bans.banOf({ id }) !== null || fleet.decisions.incidents.holding(id) !== undefined,
      ...(typeof shown === 'string' ? { order: null, why: shown } : { order: shown, why: '' }),
      released: found === undefined ? null : { sha256: found.sha256, manifest: found.custom.manifest },
    });
    const slice = sliceOf(service.name);
    const grows = slice !== null && names.includes(GROWTH_SECRET);
    if (grows && fleet.decisions.rollouts.slices.of(slice)?.grow === undefined)
      throw new BootwaveError({
        code: 'SECRETS_UNSET',
        what: `slice '${slice}' does not grow by itself: it gets no secret ${GROWTH_SECRET}`,
        unchanged: 'nothing was given',
        next: "make a slice with 'bootwave slice create --grow', or a version that does not name that secret",
      });
    const set = grows ? names.filter((name) => name !== GROWTH_SECRET) : names;
    const given = await store.values(service.name, set, record!.site);
    try {
      if (grows) given.values.set(GROWTH_SECRET, await this.#growth({ node: id, instance: service.name }));
      if (!this.#budget.spend('given', id, now()).write)
        throw new BootwaveError({
          code: 'SECRETS_TOO_OFTEN',
          what: `node ${record!.name} was given secrets ${MOST_GIVEN.perPeer} times within ten minutes`,
          unchanged: 'nothing was given',
          next: 'it is tried again by itself; if that goes on, look at what runs there',
        });
      await fleet.audit.append({
        ...{ at: now(), actor: 'bootserver', node: id, action: 'secrets-given' },
        reason: `secrets of ${shownServiceVersion(service)}: ${names.join(', ')}`,
        detail: { number: `${given.number}` },
      });
    } catch (error) {
      forget(given.values.values());
      throw error;
    }
    return given;
  }

  async #growth(of: Omit<GrowthSecret, 'key'>): Promise<Buffer> {
    const key = await this.#parts.store.derived(growthPurpose(of));
    try {
      return growthSecret({ ...of, key });
    } finally {
      forget([key]);
    }
  }
}

/** @returns why it does not hold */
function held(envelope: unknown, keys: OrderPublicKeys, nodeId: string, now: number): VerifiedOrder | string {
  try {
    return verifyOrder(envelope, keys, { nodeId, now, last: null });
  } catch (error) {
    return messageOf(error);
  }
}
