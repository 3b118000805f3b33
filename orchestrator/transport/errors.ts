import { BootwaveError } from '../../base/error.ts';
import type { Failure } from '../../protocol/link/messages.ts';

/** The node itself refused. The texts are the node's: a compromised one may say anything. */
export class NodeRefusal extends BootwaveError {
  constructor({ code, what, unchanged, next }: Failure) {
    super({ code, what, unchanged, next });
    this.name = 'NodeRefusal';
  }
}

/**
 * What can go wrong between orchestrator and node. `LINK_CUT` and `LINK_TIMEOUT` leave open whether the node has done
 * the request: operations are idempotent, so ask again or look at its status.
 */
const LINK_FAILURES = {
  LINK_UNREACHABLE: 'see whether the node is powered on and its site connected',
  LINK_CONNECT_TIMEOUT: 'see whether the node is powered on and its site connected',
  LINK_HOST_KEY:
    'if the node has just restarted, wait until it has enrolled again; otherwise treat it as an impostor',
  LINK_AUTH: 'the image on the node holds another client key; roll out an image built from these keys',
  LINK_SUBSYSTEM: 'the image on the node offers no link; roll out a newer one',
  LINK_HANDSHAKE: 'see what else answers on that address and port',
  LINK_AGENT_DOWN: 'the node is up but its agent is not; it restarts by itself',
  LINK_CUT: 'ask again; the operation may or may not have been done',
  LINK_TIMEOUT: 'ask again; the operation may or may not have been done',
  LINK_PROTOCOL: 'compare the versions of orchestrator and image',
  LINK_WRONG_NODE: 'the record of this node holds the address or host key of another one',
  LINK_BUSY: 'ask again when the requests under way are done',
  LINK_CLOSED: 'the orchestrator has let go of this connection; ask again',
  LINK_ABORTED: 'nobody waits for this any more',
} as const;
export type LinkFailureCode = keyof typeof LINK_FAILURES;

export function linkFailure(code: LinkFailureCode, what: string, cause?: unknown): BootwaveError {
  return new BootwaveError({ code, what, next: LINK_FAILURES[code], cause });
}

/** An AbortSignal's reason as a coded error. */
export function abortedBy(signal: AbortSignal): BootwaveError {
  const { reason } = signal;
  return reason instanceof BootwaveError
    ? reason
    : linkFailure('LINK_ABORTED', 'the request was given up', reason);
}
