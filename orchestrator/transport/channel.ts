import { connect as connectTcp } from 'node:net';
import ssh2, {
  type ClientCallback,
  type ClientChannel,
  type ConnectConfig,
  type ParsedKey,
  type PublicKeyAuthMethod,
} from 'ssh2';
import type { BootwaveError } from '../../base/error.ts';
import { gatherWrites } from '../../base/gather-writes.ts';
import { LINK_ACCOUNT, LINK_SUBSYSTEM, RELAY_NO_AGENT } from '../../protocol/link/messages.ts';
import { holdCipherKeys } from './cipher-keys.ts';
import { abortedBy, linkFailure } from './errors.ts';
import { hostKeyBlob, isHostKey } from './hostkey.ts';
import { signAtOnce } from './sign-at-once.ts';

/** Where a node's sshd is and what it must prove. */
export type LinkTarget = {
  /** The record's id; the node must say the same. */
  id: string;
  /** As people know it. */
  name?: string;
  host: string;
  port: number;
  /** `ssh-ed25519 AAAA...` as enrolment recorded it for this boot of the node. */
  hostKey: string;
  /** Nodes that are likely to fail together, i.e. the site; the pool is fair between groups. */
  group: string;
};

/** As whom a client gets in, and for what. */
export type Entry = {
  account: string;
  key: ParsedKey;
  /** Called when the client has begun to connect. */
  present(client: ssh2.Client): void;
  open(client: ssh2.Client, opened: ClientCallback): void;
};

const linkEntry = (key: ParsedKey): Entry => ({
  account: LINK_ACCOUNT,
  key,
  present: (client) => signAtOnce(client, key),
  open: (client, opened) => client.subsys(LINK_SUBSYSTEM, opened),
});

/** `clientKey`: of the link. */
export type ChannelOptions = ({ clientKey: ParsedKey } | { entry: Entry }) & {
  /** Milliseconds from the first packet to an open subsystem. */
  timeout: number;
  signal?: AbortSignal;
};

/** An open subsystem on an authenticated connection. */
export type Channel = {
  stream: ClientChannel;
  /** Why it closed, as far as this side can know; asked after the stream closed. */
  reason(): BootwaveError;
  /** Closes the whole connection. */
  close(): void;
};

/** What our own sshd_config offers; nothing else is spoken, so nothing can be negotiated down. */
const ALGORITHMS = {
  kex: ['curve25519-sha256', 'curve25519-sha256@libssh.org'],
  serverHostKey: ['ssh-ed25519'],
  cipher: ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'chacha20-poly1305@openssh.com'],
  hmac: ['hmac-sha2-256-etm@openssh.com'],
  compress: ['none'],
} satisfies ConnectConfig['algorithms'];

/** Milliseconds between keepalives, and how many may go unanswered. */
const KEEPALIVE = { interval: 30_000, missed: 3 } as const;

/**
 * Connects to a node and opens the one thing that the account is for. The host key is compared in the key exchange: to a host
 * that shows another one nothing is sent, neither a user name nor a signature.
 * @throws BootwaveError `LINK_UNREACHABLE`, `LINK_CONNECT_TIMEOUT`, `LINK_HOST_KEY`, `LINK_HOST_KEY_RECORD`,
 * `LINK_AUTH`, `LINK_SUBSYSTEM`, `LINK_HANDSHAKE`, `LINK_ABORTED`
 */
export function openChannel(target: LinkTarget, options: ChannelOptions): Promise<Channel> {
  const { signal } = options;
  const { account, key, present, open } = 'entry' in options ? options.entry : linkEntry(options.clientKey);
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) throw abortedBy(signal);
    const recorded = hostKeyBlob(target.hostKey);
    const client = new ssh2.Client();
    const login: PublicKeyAuthMethod = { type: 'publickey', username: account, key };
    let impostor = false;
    let isOpen = false;
    const where = `${target.name ?? target.id} at ${target.host} port ${target.port}`;

    const settle = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };
    const fail = (error: BootwaveError): void => {
      if (isOpen) return;
      settle();
      client.destroy();
      reject(error);
    };
    const onAbort = () => fail(abortedBy(signal as AbortSignal));
    const timer = setTimeout(
      () => fail(linkFailure('LINK_CONNECT_TIMEOUT', `${where} did not answer within ${options.timeout} ms`)),
      options.timeout,
    );
    signal?.addEventListener('abort', onAbort, { once: true });

    holdCipherKeys(client);
    client.on('error', (error) => fail(impostor ? wrongHostKey(where) : classify(error, where)));
    client.on('close', () => fail(linkFailure('LINK_UNREACHABLE', `${where} closed the connection`)));
    client.on('ready', () => {
      open(client, (error, stream) => {
        if (error !== undefined && error !== null) {
          fail(linkFailure('LINK_SUBSYSTEM', `${where} refuses what ${account} is for`, error));
          return;
        }
        isOpen = true;
        settle();
        resolve(track(client, stream, where));
      });
    });
    client.connect({
      // Small packets that wait for each other's acknowledgements cost 40 ms each (Nagle against delayed ACK).
      sock: gatherWrites(connectTcp({ host: target.host, port: target.port, noDelay: true })),
      username: account,
      authHandler: [login],
      algorithms: ALGORITHMS,
      hostVerifier: (shown: Buffer) => {
        impostor = !isHostKey(shown, recorded);
        return !impostor;
      },
      // The timer above covers the whole way; ssh2's ends with the authentication.
      readyTimeout: 0,
      keepaliveInterval: KEEPALIVE.interval,
      keepaliveCountMax: KEEPALIVE.missed,
    });
    present(client);
  });
}

function track(client: ssh2.Client, stream: ClientChannel, where: string): Channel {
  let exit: number | null = null;
  let cause: unknown;
  client.on('error', (error) => {
    cause = error;
  });
  stream.on('exit', (code: number | null) => {
    exit = code;
  });
  // Unread standard error would fill the window and stop the channel.
  stream.stderr.resume();
  stream.once('close', () => client.end());
  return {
    stream,
    reason: () =>
      exit === RELAY_NO_AGENT
        ? linkFailure('LINK_AGENT_DOWN', `the agent of ${where} does not answer`)
        : linkFailure('LINK_CUT', `the link to ${where} was cut`, cause),
    close: () => client.destroy(),
  };
}

function classify(error: Error & { level?: string }, where: string): BootwaveError {
  switch (error.level) {
    case 'client-authentication':
      return linkFailure('LINK_AUTH', `${where} does not accept the orchestrator's key`, error);
    case 'handshake':
    case 'protocol':
      return linkFailure(
        'LINK_HANDSHAKE',
        `${where} does not speak SSH as a node does: ${error.message}`,
        error,
      );
    default:
      return linkFailure('LINK_UNREACHABLE', `${where} cannot be reached: ${error.message}`, error);
  }
}

function wrongHostKey(where: string): BootwaveError {
  return linkFailure('LINK_HOST_KEY', `${where} shows another host key than the one that enrolment recorded`);
}
