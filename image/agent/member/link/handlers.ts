import type { ArgsOf, OpName, Progress, ResultOf } from '../../../../protocol/link/messages.ts';

/** What a handler is given beside its arguments. */
export type HandlerContext = {
  /** Aborted when nobody waits for the answer any more. Work that must go on without a link ignores it. */
  readonly signal: AbortSignal;
  /** Reports progress to the orchestrator. Lossy: a peer that reads slowly gets fewer reports. */
  progress(progress: Progress): void;
};

/**
 * What a node can do when asked; one method per operation. A refusal is a thrown BootwaveError: its code, what,
 * unchanged and next reach the orchestrator. Anything else that is thrown reaches only the node's own log.
 */
export type LinkHandlers = {
  readonly [O in OpName]: (args: ArgsOf<O>, context: HandlerContext) => Promise<ResultOf<O>> | ResultOf<O>;
} & {
  /** Epoch of the order in force (0 before the first) and this boot: every other operation is compared with them. */
  fence(): { epoch: number; bootId: string };
};
