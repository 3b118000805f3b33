import type { X509Certificate } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { BootwaveError, messageOf } from '../../base/error.ts';
import { sha256 } from '../../formats/digest.ts';
import { makeCredential } from '../../formats/tpm/credential.ts';
import { checkEkCertificate, type EkVerdict } from '../../keys/ek-certificate.ts';
import type { EnrolmentDecision } from '../../protocol/enrolment/enrolment.ts';
import type { KeysReply, KeysRequest, ProofRequest, StatusReply } from '../../protocol/enrolment/messages.ts';
import type { NodeDirectory } from '../directory.ts';
import type { Certifier } from './certifier.ts';
import type { SecureBootKeys } from './firmware-log.ts';
import { type FixedKeys, fixKeys, wordsOf } from './fixed-keys.ts';
import { verifyProof } from './proof.ts';
import type { ProvenSession, Sessions } from './sessions.ts';

export type DialogueParts = {
  sessions: Sessions;
  directory: NodeDirectory;
  certifier: Certifier;
  /** The CAs of TPM makers that the operator trusts. */
  tpmRoots: () => Promise<readonly X509Certificate[]>;
  /** Which Secure Boot keys are the fleet's. */
  secureBootKeys: () => Promise<SecureBootKeys>;
  /** SHA-256 of the root certificate, DER. */
  fleetRoot: Buffer;
  /** Milliseconds since the epoch. */
  now: () => number;
  /** Seconds between heartbeats. */
  heartbeatSeconds: number;
  /** Milliseconds: how long `status` is held, how often it looks meanwhile. */
  hold: { most: number; look: number };
  signal: AbortSignal;
};

/** The server's half of the enrolment dialogue, in the order in which a node takes it. */
export class EnrolmentDialogue {
  readonly #parts: DialogueParts;

  constructor(parts: DialogueParts) {
    this.#parts = parts;
  }

  start(address: string): { session: string; commitment: string } {
    return this.#parts.sessions.start(address);
  }

  async keys(request: KeysRequest): Promise<KeysReply> {
    const keys = fixKeys(request);
    const { sessions, directory } = this.#parts;
    sessions.mustWait(request.session);
    const bytes = JSON.stringify(request.inventory).length;
    const { nonce, secret } = sessions.fix(request.session, keys, await directory.numberNonce(), bytes);
    const credential =
      keys.tpm === null || secret === null ? null : makeCredential(keys.tpm.ek, keys.tpm.ak.name, secret);
    return {
      nonce: nonce.toString('hex'),
      credential: credential && {
        blob: credential.blob.toString('base64'),
        seed: credential.seed.toString('base64'),
      },
    };
  }

  async proof(request: ProofRequest, address: string): Promise<StatusReply> {
    const { sessions, directory, fleetRoot } = this.#parts;
    const { keys, nonce, secret, number: nonceNumber } = sessions.spend(request.session);
    try {
      const known = await this.#parts.secureBootKeys();
      const quoted = verifyProof(keys, { nonce, secret }, request, known);
      const words = wordsOf(keys, nonce, fleetRoot);
      const decision = await directory.enrol({
        id: keys.id,
        ekDigest: keys.tpm?.ek.digest ?? null,
        akName: keys.tpm?.ak.name ?? null,
        spkiDigest: sha256(keys.csr.spki).toString('hex'),
        hostKey: keys.hostKey,
        words,
        inventory: keys.inventory,
        running: keys.running,
        ekCertificate: await this.#vouched(keys),
        pcrs: quoted?.pcrs ?? null,
        clock: quoted?.clock ?? null,
        nonceNumber,
        firmware: quoted?.firmware ?? null,
        token: keys.token,
        address,
        at: this.#parts.now(),
      });
      const proven = { id: keys.id, csr: keys.csr };
      sessions.prove(request.session, words, proven);
      return await this.#reply(decision, { keys: proven, words });
    } catch (error) {
      sessions.drop(request.session);
      throw withSubject(error, keys.id);
    }
  }

  /** Held open while the decision is pending, so that an approval is seen at once. */
  async status(session: string, gone: AbortSignal): Promise<StatusReply> {
    const proven = this.#parts.sessions.proven(session);
    const spkiDigest = sha256(proven.keys.csr.spki).toString('hex');
    const until = this.#parts.now() + this.#parts.hold.most;
    const signal = AbortSignal.any([gone, this.#parts.signal]);
    for (;;) {
      const decision = await this.#parts.directory.decisionOf(proven.keys.id, spkiDigest);
      if (decision.state !== 'pending' || signal.aborted || this.#parts.now() >= until) {
        return this.#reply(decision, proven);
      }
      await sleep(this.#parts.hold.look, undefined, { signal }).catch(() => {});
    }
  }

  async #vouched({ tpm }: FixedKeys): Promise<EkVerdict | null> {
    if (tpm === null) return null;
    const { tpmRoots, now } = this.#parts;
    try {
      return checkEkCertificate(tpm.ekCertificate, tpm.ek.key, await tpmRoots(), now());
    } catch (error) {
      // A file that the operator damaged must not shut machines out; a site that requires the certificate still
      // refuses.
      return { verified: false, reason: `the TPM roots cannot be read: ${messageOf(error)}`.slice(0, 256) };
    }
  }

  async #reply(decision: EnrolmentDecision, { keys, words }: ProvenSession): Promise<StatusReply> {
    const common = { id: keys.id, words };
    if (decision.state === 'pending') return { state: 'pending', ...common, retryAfter: 1 };
    if (decision.state === 'rejected') {
      const reason = decision.reason.slice(0, 256).toWellFormed();
      return { state: 'rejected', ...common, reason, ...(decision.restart && { restart: true }) };
    }
    if (decision.state === 'held') {
      const reason = decision.reason.slice(0, 256).toWellFormed();
      return { ...decision, ...common, reason };
    }
    const chain = await this.#parts.certifier.chainFor(keys, decision.name);
    return {
      state: 'approved',
      ...common,
      name: decision.name,
      chain,
      heartbeat: this.#parts.heartbeatSeconds,
    };
  }
}

/** The same refusal with the id of the machine; before the keys are known there is no id. All other errors stay what they are. */
export function withSubject(error: unknown, id: string | null): unknown {
  if (id === null || !(error instanceof BootwaveError)) return error;
  const { code, what, unchanged, next } = error;
  return new BootwaveError({ code, what, unchanged, next, cause: error, subject: id });
}

/** @returns the error as clients see it: an unexpected error reveals nothing about our internals */
export function asBootwaveError(error: unknown): BootwaveError {
  return error instanceof BootwaveError
    ? error
    : new BootwaveError({
        code: 'SERVER_FAULT',
        what: 'the boot server failed at this request',
        next: 'the machine tries again by itself; see the log of the boot server',
        cause: messageOf(error),
      });
}
