import type { ParsedKey } from 'ssh2';
import { BootwaveError } from '../../base/error.ts';
import { type Hello, LINK_VERSION } from '../../protocol/link/messages.ts';
import { type Channel, type LinkTarget, openChannel } from './channel.ts';
import type { Clock } from './clock.ts';
import { linkFailure } from './errors.ts';
import { LinkSession } from './session.ts';

export type Connected = { session: LinkSession; hello: Hello };

export type ConnectOptions = {
  clientKey: ParsedKey;
  /** Milliseconds for the connection, and again for the hello. */
  timeout: number;
  clock: Clock;
  signal: AbortSignal;
};

/**
 * Opens a link and greets: afterwards it is the right host, the right node, and a protocol that both speak. When the
 * session ends, the connection ends with it.
 * @throws BootwaveError with a `LINK_*` code
 */
export async function connect(target: LinkTarget, options: ConnectOptions): Promise<Connected> {
  const { clientKey, timeout, clock, signal } = options;
  const channel = await openChannel(target, { clientKey, timeout, signal });
  const session = new LinkSession(channel.stream, clock);
  void session.ended.then(() => channel.close());
  try {
    const hello = await session.request('hello', { version: LINK_VERSION }, { timeout, signal });
    if (hello.version !== LINK_VERSION)
      throw linkFailure('LINK_PROTOCOL', `${target.id} speaks version ${hello.version} of the link`);
    if (hello.node !== target.id)
      throw linkFailure(
        'LINK_WRONG_NODE',
        `asked for ${target.id}, but ${hello.node} answers at its address`,
      );
    return { session, hello };
  } catch (error) {
    session.end();
    throw betterReason(error, channel);
  }
}

/** A relay that found no agent closes at once and says why by its exit code. */
function betterReason(error: unknown, channel: Channel): unknown {
  return error instanceof BootwaveError && error.code === 'LINK_CUT' ? channel.reason() : error;
}
