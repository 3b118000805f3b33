import { BootwaveError } from '../../../../base/error.ts';
import { flat } from '../../../../base/line.ts';
import {
  type Failure,
  type FromNode,
  LINK_LIMITS,
  OPS,
  type OpName,
  toNode,
} from '../../../../protocol/link/messages.ts';
import type { HandlerContext, LinkHandlers } from './handlers.ts';

export type DispatchOptions = {
  handlers: LinkHandlers;
  /** Never throws. */
  send(message: FromNode): void;
  /** False while the peer does not read: progress is then left out instead of piling up. */
  canSend(): boolean;
  /** A handler threw something unexpected. */
  onFault(op: string, error: unknown): void;
};

/**
 * The requests of one link. Checks each, compares its epoch with the order in force, runs it, answers once. No socket
 * here: `receive` takes decoded messages.
 */
export class Dispatcher {
  readonly #options: DispatchOptions;
  readonly #running = new Map<number, AbortController>();

  constructor(options: DispatchOptions) {
    this.#options = options;
  }

  get inFlight(): number {
    return this.#running.size;
  }

  /**
   * @throws BootwaveError `LINK_MESSAGE` or `LINK_ID_IN_USE` when the peer does not speak this protocol; the link is
   * then of no use any more. A refused request is answered, not thrown.
   */
  receive(message: unknown): void {
    const parsed = toNode.safeParse(message);
    if (!parsed.success) throw broken('LINK_MESSAGE', 'a message that is neither a request nor an abort');
    const { data } = parsed;
    if (data.kind === 'abort') {
      this.#running.get(data.id)?.abort(refusal('LINK_ABORTED', 'the orchestrator no longer waits for this'));
      return;
    }
    if (this.#running.has(data.id))
      throw broken('LINK_ID_IN_USE', `a second request with the id ${data.id} of one under way`);
    if (this.#running.size >= LINK_LIMITS.inFlight) {
      this.#fail(
        data.id,
        refusal('LINK_BUSY', `${LINK_LIMITS.inFlight} requests are under way on this link`),
      );
      return;
    }
    const controller = new AbortController();
    this.#running.set(data.id, controller);
    void this.#run(data.id, data.op, data.args, controller.signal);
  }

  /** The link is gone: nobody waits for answers. */
  close(): void {
    for (const controller of this.#running.values())
      controller.abort(refusal('LINK_CUT', 'the link was cut'));
  }

  async #run(id: number, op: string, args: unknown, signal: AbortSignal): Promise<void> {
    const { send, canSend, onFault } = this.#options;
    let answer: FromNode;
    try {
      const context: HandlerContext = {
        signal,
        progress: (progress) => {
          if (this.#running.has(id) && canSend()) send({ kind: 'progress', id, progress });
        },
      };
      answer = { kind: 'result', id, result: await this.#call(op, args, context) };
    } catch (error) {
      if (!(error instanceof BootwaveError)) onFault(op, error);
      answer = { kind: 'error', id, error: failureOf(error) };
    }
    this.#running.delete(id);
    send(answer);
  }

  async #call(op: string, args: unknown, context: HandlerContext): Promise<unknown> {
    if (!isOp(op))
      throw refusal('LINK_OP_UNKNOWN', `this image knows no operation ${op}`, 'roll out a newer image first');
    const parsed = OPS[op].args.safeParse(args);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      throw refusal(
        'LINK_ARGS',
        `the arguments of ${op} are malformed: ${issue?.path.join('.') || 'value'}: ${issue?.message ?? 'unknown'}`,
      );
    }
    this.#checkFence(parsed.data as Fences);
    // The table of operations gives handler and arguments the same index, which the compiler cannot follow here.
    const handler = this.#options.handlers[op] as (args: unknown, context: HandlerContext) => unknown;
    return handler(parsed.data, context);
  }

  #checkFence(args: Fences): void {
    if (args.epoch === undefined) return;
    const now = this.#options.handlers.fence();
    if (args.epoch < now.epoch)
      throw refusal(
        'LINK_EPOCH_OLD',
        `asked under epoch ${args.epoch}, but the order in force has epoch ${now.epoch}`,
        'read the node record again; someone has ordered something newer',
      );
    if (args.epoch > now.epoch)
      throw refusal(
        'LINK_EPOCH_UNKNOWN',
        `asked under epoch ${args.epoch}, but this node has only epoch ${now.epoch}`,
        'deliver the order first',
      );
    if (args.bootId !== undefined && args.bootId !== now.bootId)
      throw refusal(
        'LINK_RESTARTED',
        'the node has restarted since this was asked for',
        'look at its status before asking for another restart',
      );
  }

  #fail(id: number, error: BootwaveError): void {
    this.#options.send({ kind: 'error', id, error: failureOf(error) });
  }
}

/** The table of operations says which of them an operation has. */
type Fences = { epoch?: number; bootId?: string };

function isOp(op: string): op is OpName {
  return Object.hasOwn(OPS, op);
}

/** What may leave the node of an error, cut to what the protocol carries. */
export function failureOf(error: unknown): Failure {
  if (!(error instanceof BootwaveError))
    return { code: 'LINK_FAULT', what: 'the agent failed at this; its log says why', next: 'read the log' };
  return {
    code: error.code,
    what: flat(error.what, 1024),
    ...(error.unchanged === undefined ? {} : { unchanged: flat(error.unchanged, 512) }),
    ...(error.next === undefined ? {} : { next: flat(error.next, 512) }),
  };
}

function refusal(code: string, what: string, next?: string): BootwaveError {
  return new BootwaveError({ code, what, unchanged: 'nothing was done', next });
}

function broken(code: string, what: string): BootwaveError {
  return refusal(code, `${what} came over the link`, 'compare the versions of orchestrator and image');
}
