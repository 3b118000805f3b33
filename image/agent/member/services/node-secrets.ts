/**
 * The agent's part of secrets: it carries root's question to a boot server and the answer back, and can read neither. It asks
 * when root has none yet, and when a server says that one has changed.
 */
import { type BackoffLimits, backoff } from '../../../../base/backoff.ts';
import { BootwaveError, whatAndCode } from '../../../../base/error.ts';
import type { InstanceView } from '../../../../protocol/agent/services.ts';
import { PATHS } from '../../../../protocol/enrolment/messages.ts';
import { secretsAnswer, secretsNonceReply } from '../../../../protocol/enrolment/secrets.ts';
import type { OrderedService } from '../../../../protocol/order.ts';
import type { BootServer } from '../boot-server.ts';
import type { AskHelper } from '../helper-client.ts';

export type NodeSecretsParts = {
  ask: AskHelper;
  /** The boot server to which this node is connected as a member; null: to none now. */
  server(): Pick<BootServer, 'post'> | null;
  signal: AbortSignal;
  /** Milliseconds (monotonic); tests put another one here. */
  clock?(): number;
};

/** What runs with the secrets that it has asks for newer ones, where it was refused them: each time costs quotes here and there. */
const REFUSED: BackoffLimits = { first: 30_000, most: 900_000 };

type Refusal = {
  /** What a server had told when it was refused, and the number of the change that it was refused. */
  told: number;
  number: number;
  failures: number;
  /** Milliseconds (monotonic) until which that change is not asked for again. */
  until: number;
};

export class NodeSecrets {
  readonly #parts: NodeSecretsParts;
  /** Number of the last change that a server told of. */
  #told = 0;
  /** The same, up to which each service that has secrets was asked for; by its name. */
  readonly #asked = new Map<string, number>();
  readonly #refused = new Map<string, Refusal>();
  readonly #errors = new Map<string, string>();

  constructor(parts: NodeSecretsParts) {
    this.#parts = parts;
  }

  /** A heartbeat was answered. @returns whether there is something to ask for now */
  heard(number: number | undefined): boolean {
    if (number === undefined || number === this.#told) return false;
    this.#told = number;
    return true;
  }

  /** Why a service has none yet; null: nothing went wrong. */
  errorOf(name: string): string | null {
    return this.#errors.get(name) ?? null;
  }

  /** @returns whether root got anything @param ordered by the order in force */
  async bring(views: readonly InstanceView[], ordered: readonly OrderedService[]): Promise<boolean> {
    const told = this.#told;
    const having = views.filter(
      ({ name, secrets }) => secrets?.number != null && (this.#asked.get(name) ?? 0) !== told,
    );
    const wanted = [...views.filter(isLacking), ...having];
    for (const name of this.#errors.keys())
      if (!wanted.some((view) => view.name === name)) this.#errors.delete(name);
    for (const map of [this.#asked, this.#refused])
      for (const name of map.keys()) if (!views.some((view) => view.name === name)) map.delete(name);
    let isBrought = false;
    for (const { name, secrets } of wanted) {
      const service = ordered.find((one) => one.name === name);
      if (service === undefined) continue;
      const has = secrets?.number ?? null;
      const refusal = this.#refused.get(name);
      if (has !== null && refusal?.told === told && this.#now() < refusal.until) continue;
      try {
        if (await this.#carry(service, has, told)) isBrought = true;
        this.#errors.delete(name);
      } catch (error) {
        this.#parts.signal.throwIfAborted();
        this.#errors.set(name, whatAndCode(error));
      }
    }
    return isBrought;
  }

  #now(): number {
    return this.#parts.clock?.() ?? performance.now();
  }

  /** @returns false: root has them already, or was refused these a short while ago */
  async #carry(
    { name, version, sha256 }: OrderedService,
    has: number | null,
    told: number,
  ): Promise<boolean> {
    const { ask, server: serverNow } = this.#parts;
    const server = serverNow();
    if (server === null)
      throw new BootwaveError({ code: 'SERVER_UNREACHABLE', what: 'no boot server is connected' });
    const asked = { service: { name, version, sha256 } };
    const { nonce, number } = await server.post(PATHS.secretsNonce, asked, secretsNonceReply);
    const refusal = this.#refused.get(name);
    if (has !== null && refusal?.number === number && this.#now() < refusal.until) {
      // Something else has changed.
      refusal.told = told;
      return false;
    }
    if (number !== has)
      try {
        const question = await ask({ operation: 'secrets-ask', name, nonce });
        const answer = await server.post(PATHS.secrets, question, secretsAnswer);
        await ask({ operation: 'secrets-take', name, answer });
      } catch (error) {
        const failures = refusal?.number === number ? refusal.failures + 1 : 1;
        const until = this.#now() + backoff(failures, Math.random(), REFUSED);
        this.#refused.set(name, { told, number, failures, until });
        throw error;
      }
    this.#refused.delete(name);
    this.#asked.set(name, told);
    return number !== has;
  }
}

/** It waits for them, or would begin to once its bundle is here. */
const isLacking = ({ secrets, state }: InstanceView): boolean =>
  secrets !== null && secrets.number === null && state !== 'refused';
