/**
 * The agent's part of secrets: it carries root's question to a boot server and the answer back, and can read neither. It asks
 * when root has none yet, and when a server says that one has changed.
 */
import { BootwaveError, messageOf } from '../../../../base/error.ts';
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
};

export class NodeSecrets {
  readonly #parts: NodeSecretsParts;
  /** Number of the newest change that a server told of, and up to which all that run have been asked for. */
  #told = 0;
  #asked = 0;
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
    const isNews = this.#told !== this.#asked;
    const told = this.#told;
    const [lacking, having] = [views.filter(isLacking), views.filter((view) => view.secrets?.number != null)];
    const wanted = isNews ? [...lacking, ...having] : lacking;
    for (const name of this.#errors.keys())
      if (!wanted.some((view) => view.name === name)) this.#errors.delete(name);
    let isBrought = false;
    let isAll = true;
    for (const { name, secrets } of wanted) {
      const service = ordered.find((one) => one.name === name);
      if (service === undefined) continue;
      try {
        if (await this.#carry(service, secrets?.number ?? null)) isBrought = true;
        this.#errors.delete(name);
      } catch (error) {
        this.#parts.signal.throwIfAborted();
        isAll = false;
        this.#errors.set(name, whyOf(error));
      }
    }
    if (isAll) this.#asked = told;
    return isBrought;
  }

  /** @returns false: root has them already */
  async #carry({ name, version, sha256 }: OrderedService, has: number | null): Promise<boolean> {
    const { ask, server: serverNow } = this.#parts;
    const server = serverNow();
    if (server === null)
      throw new BootwaveError({ code: 'SERVER_UNREACHABLE', what: 'no boot server is connected' });
    const asked = { service: { name, version, sha256 } };
    const { nonce, number } = await server.post(PATHS.secretsNonce, asked, secretsNonceReply);
    if (number === has) return false;
    const question = await ask({ operation: 'secrets-ask', name, nonce });
    const answer = await server.post(PATHS.secrets, question, secretsAnswer);
    await ask({ operation: 'secrets-take', name, answer });
    return true;
  }
}

/** It waits for them, or would begin to once its bundle is here. */
const isLacking = ({ secrets, state }: InstanceView): boolean =>
  secrets !== null && secrets.number === null && state !== 'refused';

function whyOf(error: unknown): string {
  return error instanceof BootwaveError ? `${error.what} [${error.code}]` : messageOf(error);
}
