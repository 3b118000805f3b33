import { X509Certificate } from 'node:crypto';
import { Agent } from 'node:https';
import type { DetailedPeerCertificate } from 'node:tls';
import type * as z from 'zod/mini';
import { BootwaveError } from '../../../base/error.ts';
import { jsonIn } from '../../../base/json.ts';
import { checkBootServer } from '../../../keys/server-identity.ts';
import { errorReply, SERVER_NAME } from '../../../protocol/enrolment/messages.ts';
import { type Posted, post } from './post.ts';

/** Bytes of an answer; a certificate chain is far below. */
const ANSWER_BYTES = 256 * 1024;
/** Milliseconds for one exchange unless the caller says otherwise. */
const PATIENCE = 20_000;

export type Credentials = { key: string; chain: string };

/** A refusal with an error code from the boot server itself. */
export class ServerRefused extends BootwaveError {}

const unreachable = (what: string, cause?: unknown) =>
  new BootwaveError({ code: 'SERVER_UNREACHABLE', what: `the boot server ${what}`, cause });

/** One boot server over TLS 1.3; only the fleet's root is trusted. */
export class BootServer {
  readonly url: string;
  readonly #agent: Agent;

  /**
   * @param credentials of an approved node, for what needs mutual TLS
   * @param localAddress to speak from; by default the kernel chooses
   */
  constructor(url: string, rootPem: string, credentials?: Credentials, localAddress?: string) {
    this.url = url;
    const root = new X509Certificate(rootPem);
    this.#agent = new Agent({
      ca: rootPem,
      servername: SERVER_NAME,
      minVersion: 'TLSv1.3',
      checkServerIdentity: (_, peer) => checkBootServer(peer as DetailedPeerCertificate, root),
      keepAlive: true,
      maxSockets: 2,
      // With a resumed session Node skips checkServerIdentity.
      maxCachedSessions: 0,
      ...(localAddress === undefined ? {} : { localAddress }),
      ...(credentials === undefined ? {} : { key: credentials.key, cert: credentials.chain }),
    });
  }

  /**
   * @throws BootwaveError `SERVER_UNREACHABLE`, `SERVER_NOT_TRUSTED`, `SERVER_ANSWER`; ServerRefused with the server's code
   */
  async post<S extends z.ZodMiniType>(
    path: string,
    body: unknown,
    reply: S,
    patience = PATIENCE,
  ): Promise<z.output<S>> {
    const { status, text } = await this.#exchange(path, JSON.stringify(body), patience);
    const answer = jsonIn(text);
    if (status !== 200) {
      const parsed = errorReply.safeParse(answer);
      if (!parsed.success || status >= 500) throw unreachable(`cannot answer now (HTTP ${status})`);
      throw new ServerRefused({ code: parsed.data.error.code, what: parsed.data.error.what });
    }
    const parsed = reply.safeParse(answer);
    if (parsed.success) return parsed.data;
    throw new BootwaveError({
      code: 'SERVER_ANSWER',
      what: 'the boot server speaks another version of the protocol',
    });
  }

  close(): void {
    this.#agent.destroy();
  }

  async #exchange(path: string, body: string, patience: number, again = true): Promise<Posted> {
    const limits = { bytes: ANSWER_BYTES, patience };
    const outcome = await post(new URL(path, this.url), body, { agent: this.#agent }, limits);
    if ('text' in outcome) return outcome;
    const { error, reused } = outcome;
    // The server may close a kept connection while we write to it; that says nothing about the server.
    if (again && reused && (error as NodeJS.ErrnoException).code === 'ECONNRESET')
      return this.#exchange(path, body, patience, false);
    throw explain(error);
  }
}

/** OpenSSL's codes for an invalid chain where the reader can do something about it. */
function explain(error: Error): BootwaveError {
  if (error instanceof BootwaveError) return error;
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (code === 'CERT_NOT_YET_VALID' || code === 'CERT_HAS_EXPIRED') {
    return new BootwaveError({
      code: 'SERVER_NOT_TRUSTED',
      what: `the boot server's certificate does not hold at this machine's time, ${new Date().toISOString()}: is its clock right?`,
      cause: error,
    });
  }
  if (/CERT|SIGNATURE|UNABLE_TO|SELF_SIGNED|INVALID_PURPOSE|PATH_LENGTH/.test(code)) {
    return new BootwaveError({
      code: 'SERVER_NOT_TRUSTED',
      what: `the boot server does not belong to this fleet (${code})`,
      unchanged: 'nothing was sent to it',
      cause: error,
    });
  }
  return unreachable(`does not answer (${code || error.message})`, error);
}
