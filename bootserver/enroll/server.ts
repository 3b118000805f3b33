import { type KeyObject, randomBytes, X509Certificate } from 'node:crypto';
import type { Server } from 'node:https';
import type { AddressInfo, ListenOptions } from 'node:net';
import Fastify, { type FastifyInstance } from 'fastify';
import { defined } from '../../base/defined.ts';
import { messageOf, refusal } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import { sha256 } from '../../formats/digest.ts';
import type { Authority } from '../../keys/authority.ts';
import {
  DISK_EVIDENCE_LIMITS,
  diskAskRequest,
  diskEvidenceRequest,
} from '../../protocol/enrolment/disk-evidence.ts';
import { attestRequest, heartbeatSchema, nonceRequest } from '../../protocol/enrolment/heartbeat.ts';
import {
  keysRequest,
  LIMITS,
  PATHS,
  proofRequest,
  startRequest,
  statusRequest,
} from '../../protocol/enrolment/messages.ts';
import { secretsNonceRequest, secretsQuestion } from '../../protocol/enrolment/secrets.ts';
import { signTime, timeRequest } from '../../protocol/enrolment/server-time.ts';
import { WIPE_LIMITS, wipedRequest, wipeNonceRequest } from '../../protocol/enrolment/wipe.ts';
import { type Grown, type GrowthRequest, growthRequest } from '../../protocol/service/growth.ts';
import { limitConnections } from '../connections.ts';
import type { NodeDirectory } from '../directory.ts';
import { QuietLog } from '../quiet-log.ts';
import { type BanList, NOBODY_BANNED, refuseBanned } from './bans.ts';
import { Certifier } from './certifier.ts';
import { clientIdentity } from './client-certificate.ts';
import { EnrolmentDialogue } from './dialogue.ts';
import { answerErrors } from './error-reply.ts';
import { NO_KEYS, type SecureBootKeys } from './firmware-log.ts';
import { notCurrent, Reattest } from './reattest.ts';
import { addressOf, body, peerOf } from './request.ts';
import { NO_SECRETS, SecretsDialogue, type SecretsOfFleet } from './secrets.ts';
import { Sessions } from './sessions.ts';
import { type NodesTrust, trustOf } from './trust.ts';
import { WipeDialogue } from './wiped.ts';

export type EnrolmentOptions = {
  /** A listening TCP descriptor from outside, or an address to bind. */
  listen: { fd: number } | { host: string; port: number } | { _handle: ListenOptions };
  serverKey: KeyObject;
  /** PEM: the server's certificate (serverAuth, DNS SAN `SERVER_NAME`), then the servers CA. */
  serverChainPem: string;
  /** Signs the certificates of nodes; several of them in a fleet that changes its nodes CA. */
  nodesAuthority: Authority | NodesTrust;
  /** Seconds within which all nodes with a certificate of a tainted CA renew; `RENEW_WITHIN` by default. */
  renewWithin?: number;
  rootPem: string;
  /** The CAs of TPM makers that the operator trusts; none by default. */
  tpmRoots?: () => Promise<readonly X509Certificate[]>;
  /** Which Secure Boot keys are the fleet's; without it every machine with Secure Boot holds foreign keys. */
  secureBootKeys?: () => Promise<SecureBootKeys>;
  directory: NodeDirectory;
  /** Nobody by default. */
  bans?: BanList;
  /** Secrets of services; none by default. */
  secrets?: SecretsOfFleet;
  /** An instance asks for more nodes for its slice: who it is its token shows. Without it no slice grows. */
  grow?: (asked: GrowthRequest & { address: string }) => Promise<Grown>;
  log: Logger;
  heartbeatSeconds: number;
  /** Seconds between two attestations of a member; without it they attest when they enrol. */
  attestSeconds?: number;
  /** Life of a node's certificate, milliseconds; `CERTIFICATE_LIFE` by default. */
  certificateLife?: number;
  /** See `heartbeatReply.images`; without it nodes are not told where images are. */
  imagesUrl?: string;
  signal: AbortSignal;
  /** Milliseconds since the epoch; the machine's clock by default. */
  now?: () => number;
  /** Milliseconds; see `DialogueParts.hold`. */
  hold?: { most: number; look: number };
};

export type EnrolmentServer = {
  port: number;
  closed: Promise<void>;
  /** New connections see this certificate; open ones keep the old one. */
  present(serverKey: KeyObject, serverChainPem: string): void;
};

/** Seconds: 10,000 nodes that renew at once are then 83 a second. */
const RENEW_WITHIN = 120;

/**
 * The HTTPS door for nodes, TLS 1.3 only. A client certificate is asked for and judged per route: machines that
 * enrol have none yet.
 */
export async function startEnrolment(options: EnrolmentOptions): Promise<EnrolmentServer> {
  const now = options.now ?? Date.now;
  const { directory, signal } = options;
  const log = new QuietLog(options.log, now);
  const secureBootKeys = options.secureBootKeys ?? (async () => NO_KEYS);
  const trust = trustOf(options.nodesAuthority);
  const sessions = new Sessions({ now, random: randomBytes });
  const dialogue = new EnrolmentDialogue({
    sessions,
    directory,
    certifier: new Certifier(trust, directory, now, options.certificateLife),
    tpmRoots: options.tpmRoots ?? (async () => []),
    secureBootKeys,
    fleetRoot: sha256(new X509Certificate(options.rootPem).raw),
    now,
    heartbeatSeconds: options.heartbeatSeconds,
    hold: options.hold ?? { most: LIMITS.statusHold, look: 500 },
    signal,
  });

  const secrets = options.secrets ?? NO_SECRETS;
  const reattest = new Reattest({ directory, secureBootKeys, now });
  const wipes = new WipeDialogue({ directory, secureBootKeys, now, sessions });

  const secureContext = (key: KeyObject, cert: string) => ({
    key: key.export({ type: 'pkcs8', format: 'pem' }),
    cert,
    ca: [options.rootPem, ...trust.all().map(({ pem }) => pem)],
    minVersion: 'TLSv1.3' as const,
  });
  const app: FastifyInstance<Server> = Fastify({
    https: {
      ...secureContext(options.serverKey, options.serverChainPem),
      requestCert: true,
      rejectUnauthorized: false,
      handshakeTimeout: 10_000,
    },
    bodyLimit: LIMITS.shortBytes,
    requestTimeout: 15_000,
    connectionTimeout: 2 * LIMITS.statusHold,
    forceCloseConnections: true,
  });

  answerErrors(app, { directory, log, now });

  app.post(PATHS.start, async (request) => {
    body(startRequest, request);
    return dialogue.start(addressOf(request));
  });
  app.post(PATHS.keys, { bodyLimit: LIMITS.bodyBytes }, async (request) =>
    dialogue.keys(body(keysRequest, request)),
  );
  app.post(PATHS.proof, { bodyLimit: LIMITS.evidenceBytes }, async (request) =>
    dialogue.proof(body(proofRequest, request), addressOf(request)),
  );
  app.post(PATHS.status, async (request, reply) => {
    const gone = new AbortController();
    // Of the answer, not of the connection: a machine that waits for its approval asks for days over one connection.
    reply.raw.once('close', () => gone.abort());
    return dialogue.status(body(statusRequest, request).session, gone.signal);
  });
  app.post(PATHS.wipeNonce, async (request) => wipes.nonce(body(wipeNonceRequest, request).session));
  app.post(PATHS.wiped, { bodyLimit: LIMITS.evidenceBytes + 2 * WIPE_LIMITS.report }, async (request) => {
    await wipes.report(body(wipedRequest, request), addressOf(request));
    return {};
  });
  app.post(PATHS.diskAsk, async (request) => wipes.asked(body(diskAskRequest, request).session));
  const shownBytes = LIMITS.evidenceBytes + 2 * DISK_EVIDENCE_LIMITS.report;
  app.post(PATHS.diskEvidence, { bodyLimit: shownBytes }, async (request) => {
    await wipes.evidence(body(diskEvidenceRequest, request), addressOf(request));
    return {};
  });
  app.post(PATHS.heartbeat, async (request) => {
    const { id, serial, tainted } = clientIdentity(peerOf(request), trust, now());
    if (!(await directory.heartbeat(id, serial, body(heartbeatSchema, request)))) {
      throw notCurrent();
    }
    const { heartbeatSeconds: interval, imagesUrl: images, attestSeconds: attest } = options;
    const { renewWithin: renew = RENEW_WITHIN } = options;
    // A damaged file of secrets is no reason to lose a member.
    const changed = await secrets.newest().catch((error: unknown) => {
      log.warn('SECRETS_UNREADABLE', { from: 'here', cause: messageOf(error) }, 'no secret is given');
      return 0;
    });
    return defined({
      ...{ interval, images, attest, renew: tainted ? renew : undefined },
      secrets: changed === 0 ? undefined : changed,
      ...{ hardware: true, smart: true },
    });
  });
  const forSecrets = new SecretsDialogue({ directory, secureBootKeys, now, secrets, shown: () => shown });
  let shown = { key: options.serverKey, chain: options.serverChainPem };
  app.post(PATHS.time, async (request) =>
    signTime(shown.key, shown.chain, Buffer.from(body(timeRequest, request).nonce, 'hex'), now()),
  );
  app.post(PATHS.secretsNonce, async (request) => {
    const { service } = body(secretsNonceRequest, request);
    return forSecrets.nonce(clientIdentity(peerOf(request), trust, now()), service);
  });
  app.post(PATHS.secrets, { bodyLimit: LIMITS.evidenceBytes }, async (request) => {
    const identity = clientIdentity(peerOf(request), trust, now());
    return forSecrets.answer({ ...identity, address: addressOf(request) }, body(secretsQuestion, request));
  });
  app.post(PATHS.growth, async (request) => {
    const asked = body(growthRequest, request);
    if (options.grow === undefined)
      throw refusal('GROWTH_NONE', 'no slice grows by itself at this boot server');
    return options.grow({ ...asked, address: addressOf(request) });
  });
  app.post(PATHS.nonce, async (request) => {
    body(nonceRequest, request);
    const nonce = await reattest.challenge(clientIdentity(peerOf(request), trust, now()));
    return { nonce: nonce.toString('hex') };
  });
  app.post(PATHS.attest, { bodyLimit: LIMITS.evidenceBytes }, async (request) => {
    const peer = peerOf(request);
    const identity = clientIdentity(peer, trust, now());
    const spki = peer!.publicKey.export({ type: 'spki', format: 'der' });
    await reattest.attest({ ...identity, spki, address: addressOf(request) }, body(attestRequest, request));
    return {};
  });

  refuseBanned(app, options.bans ?? NOBODY_BANNED, (...seen) => directory.caught(...seen));
  await app.ready();
  limitConnections(app.server, LIMITS);
  await listen(app.server, options.listen);
  const closed = new Promise<void>((resolve) => app.server.once('close', resolve)).then(() => log.flush());
  signal.addEventListener('abort', () => void app.close(), { once: true });
  if (signal.aborted) void app.close();
  return {
    port: (app.server.address() as AddressInfo).port,
    closed,
    present(key, chain) {
      shown = { key, chain };
      app.server.setSecureContext(secureContext(key, chain));
    },
  };
}

function listen(server: Server, where: EnrolmentOptions['listen']): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(where as ListenOptions, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
