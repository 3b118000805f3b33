import { generateKeyPairSync, type KeyObject, sign, timingSafeEqual, X509Certificate } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { BootwaveError } from '../../../base/error.ts';
import { sha256 } from '../../../formats/digest.ts';
import type { HelperIdentity } from '../../../protocol/agent/machine.ts';
import { type DiskRead, diskAskReply, diskEvidenceReply } from '../../../protocol/enrolment/disk-evidence.ts';
import {
  diskEvidenceData,
  extraData,
  reattestData,
  wipeData,
} from '../../../protocol/enrolment/extra-data.ts';
import { attestReply, nonceReply } from '../../../protocol/enrolment/heartbeat.ts';
import type { Inventory, Running } from '../../../protocol/enrolment/inventory.ts';
import {
  type KeysReply,
  keysReply,
  PATHS,
  type ProofRequest,
  type StatusReply,
  startReply,
  statusReply,
} from '../../../protocol/enrolment/messages.ts';
import { wipedReply, wipeNonceReply } from '../../../protocol/enrolment/wipe.ts';
import { enrolmentWords } from '../../../protocol/enrolment/words.ts';
import { type BootServer, type Credentials, ServerRefused } from './boot-server.ts';
import { certificateRequest } from './certificate-request.ts';
import type { Decision } from './core/state.ts';
import type { Hardware } from './hardware.ts';
import type { AskHelper } from './helper-client.ts';

export type NodeFacts = { identity: HelperIdentity; hardware: Hardware; running: Running };

/** Milliseconds: longer than the server holds `status` open. */
const POLL_PATIENCE = 60_000;
/** What was read of disks is sent so often, and milliseconds in between. */
const SHOWN_TRIES = 3;
const SHOWN_AGAIN = 5_000;

/**
 * The node's half of the enrolment dialogue, and the keys of this boot, which exist only here. The node always
 * computes the four words itself: what the console shows must not come from the server.
 */
export class NodeEnrolment {
  readonly #facts: NodeFacts;
  readonly #rootPem: string;
  readonly #fleetRoot: Buffer;
  readonly #askHelper: AskHelper;
  readonly #key: KeyObject;
  readonly #csr: Buffer;
  readonly #spki: Buffer;
  #session: { id: string; words: readonly string[] } | null = null;
  #chain: string | null = null;

  constructor(facts: NodeFacts, rootPem: string, askHelper: AskHelper) {
    this.#facts = facts;
    this.#rootPem = rootPem;
    this.#askHelper = askHelper;
    this.#fleetRoot = sha256(new X509Certificate(rootPem).raw);
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.#key = privateKey;
    this.#spki = publicKey.export({ type: 'spki', format: 'der' });
    this.#csr = certificateRequest(
      privateKey,
      facts.identity.smbios.serial.slice(0, 64).toWellFormed() || 'bootwave node',
    );
  }

  get rootPem(): string {
    return this.#rootPem;
  }

  /** For mutual TLS; undefined before the first approval. */
  get credentials(): Credentials | undefined {
    if (this.#chain === null) return undefined;
    return { key: this.#key.export({ type: 'pkcs8', format: 'pem' }).toString(), chain: this.#chain };
  }

  /** start -> keys -> proof, see protocol.ts. */
  async enrol(server: BootServer): Promise<Decision> {
    const { session, commitment } = await server.post(PATHS.start, {}, startReply);
    const { identity, running } = this.#facts;
    const { nonce, credential } = await server.post(
      PATHS.keys,
      {
        session,
        tpm: identity.tpm && {
          ek: identity.tpm.ek,
          ekCertificate: identity.tpm.ekCertificate,
          ak: identity.tpm.ak,
        },
        csr: this.#csr.toString('base64'),
        hostKey: identity.hostKey,
        inventory: this.#inventory(),
        running,
        token: null,
      },
      keysReply,
    );
    const revealed = Buffer.from(nonce, 'hex');
    if (!timingSafeEqual(sha256(revealed), Buffer.from(commitment, 'hex'))) {
      throw new BootwaveError({
        code: 'COMMITMENT_BROKEN',
        what: 'the boot server revealed another nonce than the one it had committed to',
        unchanged: 'no proof was sent to it',
      });
    }
    const words = enrolmentWords({
      fleetRoot: this.#fleetRoot,
      ek: identity.tpm && Buffer.from(identity.tpm.ek, 'base64'),
      ak: identity.tpm && Buffer.from(identity.tpm.ak, 'base64'),
      csrKey: this.#spki,
      nonce: revealed,
    });
    const proof = await this.#proof(revealed, credential);
    const reply = await server.post(PATHS.proof, { session, ...proof }, statusReply);
    this.#session = { id: session, words };
    return this.#decide(reply, words);
  }

  async poll(server: BootServer): Promise<Decision> {
    if (this.#session === null)
      throw new BootwaveError({ code: 'SESSION_UNKNOWN', what: 'no enrolment is open' });
    const { id, words } = this.#session;
    return this.#decide(await server.post(PATHS.status, { session: id }, statusReply, POLL_PATIENCE), words);
  }

  /** A fresh quote for the server that this machine is connected to with its certificate; nothing without a TPM. */
  async attest(server: BootServer): Promise<void> {
    const { tpm } = this.#facts.identity;
    if (tpm === null) return;
    const { nonce } = await server.post(PATHS.nonce, {}, nonceReply);
    const extra = reattestData(Buffer.from(nonce, 'hex'), this.#spki).toString('hex');
    const quote = await this.#askHelper({ operation: 'quote', extraData: extra });
    await server.post(PATHS.attest, { ak: tpm.ak, quote }, attestReply);
  }

  /** What this machine has wiped, in the session in which it proved itself. @param report JSON (protocol/enrolment/wipe.ts) */
  async wiped(server: BootServer, report: string): Promise<void> {
    await server.post(PATHS.wiped, await this.#quoted(server, report, wipeData), wipedReply);
  }

  /** What is on its disks before they are wiped, if the boot server wants that. @param look reads them, and says JSON (disk-evidence.ts) */
  async showDisks(server: BootServer, look: (read: DiskRead) => Promise<string>): Promise<void> {
    const { read } = await server.post(PATHS.diskAsk, { session: this.#open().session }, diskAskReply);
    if (read === null) return;
    const report = await look(read);
    for (let tries = 1; ; tries += 1)
      try {
        const shown = await this.#quoted(server, report, diskEvidenceData);
        await server.post(PATHS.diskEvidence, shown, diskEvidenceReply);
        return;
      } catch (error) {
        // It cannot be read again: a wipe comes after it.
        if (tries === SHOWN_TRIES || error instanceof ServerRefused) throw error;
        await sleep(SHOWN_AGAIN);
      }
  }

  #open(): { session: string; ak: string } {
    const { tpm } = this.#facts.identity;
    if (this.#session !== null && tpm !== null) return { session: this.#session.id, ak: tpm.ak };
    throw new BootwaveError({ code: 'SESSION_UNKNOWN', what: 'no enrolment is open' });
  }

  async #quoted(server: BootServer, report: string, dataOf: typeof wipeData) {
    const { session, ak } = this.#open();
    const { nonce } = await server.post(PATHS.wipeNonce, { session }, wipeNonceReply);
    const extra = dataOf(Buffer.from(nonce, 'hex'), report).toString('hex');
    const quote = await this.#askHelper({ operation: 'quote', extraData: extra });
    return { session, ak, report, quote };
  }

  async #proof(nonce: Buffer, credential: KeysReply['credential']): Promise<Omit<ProofRequest, 'session'>> {
    const message = extraData(nonce, this.#csr, this.#facts.identity.hostKey);
    if (this.#facts.identity.tpm === null) {
      return { secret: null, quote: null, signature: sign('sha256', message, this.#key).toString('base64') };
    }
    if (credential === null)
      throw new BootwaveError({
        code: 'SERVER_ANSWER',
        what: 'the boot server sent no credential for the TPM of this machine',
      });
    const { secret } = await this.#askHelper({ operation: 'activate', ...credential });
    const quote = await this.#askHelper({ operation: 'quote', extraData: message.toString('hex') });
    return { secret, quote, signature: null };
  }

  #decide(reply: StatusReply, words: readonly string[]): Decision {
    if (reply.state === 'pending') return { state: 'pending', retryAfter: reply.retryAfter, words };
    if (reply.state === 'rejected') {
      return { state: 'rejected', words, reason: reply.reason, restart: reply.restart === true };
    }
    if (reply.state === 'held') {
      const { name, reason, order, restart = false } = reply;
      return { state: 'held', words, name, reason, order: order ?? null, restart };
    }
    const certificate = new X509Certificate(reply.chain);
    if (!certificate.checkPrivateKey(this.#key)) {
      throw new BootwaveError({
        code: 'CERTIFICATE_NOT_OURS',
        what: 'the boot server sent a certificate of another key',
      });
    }
    this.#chain = reply.chain;
    return {
      state: 'approved',
      words,
      name: reply.name,
      notBefore: certificate.validFromDate.getTime(),
      notAfter: certificate.validToDate.getTime(),
    };
  }

  #inventory(): Inventory {
    const { identity, hardware } = this.#facts;
    const tpm = identity.tpm && { manufacturer: identity.tpm.manufacturer, firmware: identity.tpm.firmware };
    return { ...identity.smbios, secureBoot: identity.secureBoot, nics: identity.nics, ...hardware, tpm };
  }
}
