/**
 * Tells a node, before it is given an order, which neighbours have the files that the order names. It is advice: where it
 * cannot be given in time, or the node does not understand it, the node asks its boot server as always.
 */
import { messageOf } from '../../base/error.ts';
import { jsonIn } from '../../base/json.ts';
import type { Logger } from '../../base/log.ts';
import { atMost } from '../../base/wait.ts';
import type { ArgsOf, Status } from '../../protocol/link/messages.ts';
import { type Order, orderSchema } from '../../protocol/order.ts';
import { MIRROR } from '../../protocol/service/mirror.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { readIssued } from '../orders/issued.ts';
import type { LinkPool } from '../transport/pool.ts';
import { inTurn, mirrorsOf, type Neighbour } from './choose.ts';

/** Milliseconds. */
export type AdviceTimes = {
  /** That an order may be held up by it. */
  patience: number;
  /** After which a site is looked at again for nodes that are to run a mirror. */
  site: number;
  /** After which a mirror is asked again what it serves. */
  mirror: number;
};

const TIMES: AdviceTimes = { patience: 4_000, site: 30_000, mirror: 15_000 };
/** Mirrors that are asked on behalf of one order; what they say is kept for the others. */
const ASKED = 8;

type Candidate = Neighbour & {
  /** SHA-256 of what its own order names: more it cannot have for long. */
  ordered: ReadonlySet<string>;
  /** It runs what its order names. */
  runs: string;
};
type Files = ArgsOf<'mirrors'>['files'];

export type AdviserOptions = {
  fleet: Pick<Fleet, 'nodes' | 'redis'>;
  pool: Pick<LinkPool, 'request'>;
  log: Logger;
  signal: AbortSignal;
  times?: Partial<AdviceTimes>;
};

export class Adviser {
  readonly #options: AdviserOptions;
  readonly #times: AdviceTimes;
  readonly #sites = new Map<string, Kept<Candidate[]>>();
  readonly #mirrors = new Map<string, Kept<ReadonlySet<string>>>();

  constructor(options: AdviserOptions) {
    this.#options = options;
    this.#times = { ...TIMES, ...options.times };
  }

  /** Never throws, and takes no longer than `patience`. */
  async advise(node: string, envelope: unknown): Promise<void> {
    const { pool, log, signal } = this.#options;
    const order = orderIn(envelope);
    if (order === null) return;
    const end = performance.now() + this.#times.patience;
    const left = () => Math.max(1, end - performance.now());
    try {
      const files = (await atMost(this.#files(node, order), left())) ?? [];
      if (files.length > 0) await pool.request(node, 'mirrors', { files }, { signal, timeout: left() });
    } catch (error) {
      log.debug({ node, reason: messageOf(error) }, 'the node was told of no mirrors');
    }
  }

  async #files(node: string, order: Order): Promise<Files> {
    const record = await this.#options.fleet.nodes.get(node);
    if (record === null) return [];
    const wanted = filesOf(order);
    const near = (await this.#candidates(record.site)).filter(({ ordered }) =>
      wanted.some((sha256) => ordered.has(sha256)),
    );
    const turn = inTurn(node, near);
    // Those that run it have had it longest.
    const isReady = ({ runs }: Candidate) => runs === order.image?.version;
    const asked = [...turn.filter(isReady), ...turn.filter((one) => !isReady(one))].slice(0, ASKED);
    const known = await Promise.all(
      asked.map(async (one) => ({ ...one, shared: await this.#sharedBy(one.node) })),
    );
    return wanted
      .map((sha256) => ({ sha256, at: mirrorsOf(node, sha256, known) }))
      .filter(({ at }) => at.length > 0);
  }

  /** Healthy nodes of a site that are to run a mirror. */
  #candidates(site: string): Promise<Candidate[]> {
    return kept(this.#sites, site, this.#times.site, async () => {
      const { nodes, redis } = this.#options.fleet;
      const ids = await nodes.ids({ site, state: 'healthy' });
      const issued = await readIssued(redis, ids);
      const orders = new Map([...issued].map(([id, { order }]) => [id, order]));
      const serving = ids.filter((id) =>
        orders.get(id)?.services.some(({ name }) => name === MIRROR.service),
      );
      const records = serving.length === 0 ? [] : await nodes.getMany(serving);
      return records.map(({ id, observed: { address, image } }) => ({
        ...{ node: id, address, runs: image },
        ordered: new Set(filesOf(orders.get(id)!)),
      }));
    });
  }

  #sharedBy(node: string): Promise<ReadonlySet<string>> {
    return kept(this.#mirrors, node, this.#times.mirror, async () => {
      const { pool, signal } = this.#options;
      const timeout = this.#times.patience;
      const { result } = await pool.request(node, 'status', {}, { signal, timeout });
      return servedBy(result);
    }).catch(() => new Set());
  }
}

/** What a node serves to neighbours, as it says: nothing while its mirror is not well. */
function servedBy({ services = [], shared = [] }: Status): ReadonlySet<string> {
  const mirror = services.find(({ name }) => name === MIRROR.service);
  return new Set(mirror?.state === 'running' && mirror.health === 'healthy' ? shared : []);
}

const filesOf = ({ image, services }: Pick<Order, 'image' | 'services'>): string[] => [
  ...new Set([...(image === null ? [] : [image.sha256]), ...services.map(({ sha256 }) => sha256)]),
];

/** An order that comes from this server; whether it is signed is the node's business. */
function orderIn(envelope: unknown): Order | null {
  const payload = (envelope as { payload?: unknown } | null | undefined)?.payload;
  if (typeof payload !== 'string') return null;
  return orderSchema.safeParse(jsonIn(Buffer.from(payload, 'base64').toString())).data ?? null;
}

type Kept<T> = { until: number; value: Promise<T> };

/** All who ask meanwhile share one answer; one that failed is not kept longer than another. */
function kept<T>(all: Map<string, Kept<T>>, key: string, life: number, find: () => Promise<T>): Promise<T> {
  const now = performance.now();
  const known = all.get(key);
  if (known !== undefined && now < known.until) return known.value;
  for (const [old, { until }] of all) if (until <= now) all.delete(old);
  const value = find();
  value.catch(() => {});
  all.set(key, { until: now + life, value });
  return value;
}

type Links = Pick<LinkPool, 'request' | 'drop' | 'helloOf'>;

/** The same links; every order that goes over them is announced by what `adviser` knows. */
export function advised(links: Links, adviser: Pick<Adviser, 'advise'>): Links {
  return {
    async request(id, op, args, options) {
      if (op === 'order') await adviser.advise(id, (args as ArgsOf<'order'>).envelope);
      return links.request(id, op, args, options);
    },
    drop: (id, reason) => links.drop(id, reason),
    helloOf: (id) => links.helloOf(id),
  };
}
