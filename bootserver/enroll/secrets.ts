/**
 * Gives a member the secrets of a service that its order names: over a fresh quote, under a key that only the TPM of this very
 * machine opens, in the state that it has just quoted (protocol/service/sealed.ts). Who may have which is the fleet's.
 */
import { type KeyObject, randomBytes, sign } from 'node:crypto';
import { BootwaveError } from '../../base/error.ts';
import { makeCredential, SECRET_BYTES } from '../../formats/tpm/credential.ts';
import {
  checkAttestationKey,
  checkDeliveryKey,
  checkEndorsementKey,
  parseTpmPublic,
} from '../../formats/tpm/public.ts';
import { tpmNodeId } from '../../protocol/enrolment/node-id.ts';
import type { SecretsAnswer, SecretsQuestion } from '../../protocol/enrolment/secrets.ts';
import {
  answerData,
  askData,
  type Bundled,
  policyOf,
  type SecretsAsk,
  sealSecrets,
} from '../../protocol/service/sealed.ts';
import { encodeSecrets, forget } from '../../protocol/service/secrets.ts';
import type { Verdict } from '../directory.ts';
import type { ClientIdentity } from './client-certificate.ts';
import { withSubject } from './dialogue.ts';
import { Nonces } from './nonces.ts';
import { verifyEvidence } from './proof.ts';
import { type ReattestParts, shownTo } from './reattest.ts';

/** The fleet's side. */
export type SecretsOfFleet = {
  /** Number of the last change of any secret here; 0: there was none. Cheap. */
  newest(): Promise<number>;
  /** The same, of one service. @param name with its owner */
  numberOf(name: string): Promise<number>;
  /**
   * All secrets that this version is to have on this node, if it is to have them there. The caller overwrites them.
   * `order` is the envelope that the node obeys, as it says.
   * @throws BootwaveError `SECRETS_*`
   */
  give(ask: {
    id: string;
    service: Bundled;
    verdict: Verdict;
    order: unknown;
  }): Promise<{ number: number; values: Map<string, Buffer> }>;
};

export type SecretsParts = ReattestParts & {
  secrets: SecretsOfFleet;
  /** Key and chain of certificates that this server shows now. */
  shown(): { key: KeyObject; chain: string };
};

export class SecretsDialogue {
  readonly #parts: SecretsParts;
  readonly #nonces: Nonces;

  constructor(parts: SecretsParts) {
    this.#parts = parts;
    this.#nonces = new Nonces(parts.directory, parts.now);
  }

  async nonce({ id }: ClientIdentity, { name }: Bundled): Promise<{ nonce: string; number: number }> {
    const nonce = await this.#nonces.make(id);
    return { nonce: nonce.toString('hex'), number: await this.#parts.secrets.numberOf(name) };
  }

  /**
   * @throws BootwaveError `NONCE_SPENT`, `SECRETS_EK`, `AK_*`, `DELIVERY_KEY_UNSUITABLE`, `QUOTE_*`, `EVENT_LOG_*`,
   * `CERTIFICATE_NOT_CURRENT`, and the fleet's refusal
   */
  async answer(
    identity: ClientIdentity & { address: string },
    question: SecretsQuestion,
  ): Promise<SecretsAnswer> {
    const { id } = identity;
    try {
      const { nonce, number: nonceNumber } = this.#nonces.spend(id);
      const { directory, secureBootKeys, now, secrets, shown } = this.#parts;
      const { ek, ak, key, keyBytes, policy } = keysOf(id, question);
      const { service } = question;
      const ask: SecretsAsk = { node: id, service, publicKey: Buffer.from(question.publicKey, 'base64') };
      const expected = { ak, extraData: askData(ask, nonce, keyBytes) };
      const quoted = verifyEvidence(question.quote, expected, await secureBootKeys());
      checkDeliveryKey(key, policy);
      const verdict = await shownTo(directory, id, identity.serial, {
        ...{ akName: ak.name, nonceNumber, address: identity.address, at: now() },
        ...quoted,
      });
      const { number, values } = await secrets.give({ id, service, verdict, order: question.order });
      const secret = randomBytes(SECRET_BYTES);
      const plain = encodeSecrets(values);
      try {
        const sealed = sealSecrets(ask, number, plain, secret);
        const credential = makeCredential(ek, key.name, secret);
        const { key: own, chain } = shown();
        const signature = sign('sha256', answerData(ask, sealed, credential), own);
        return {
          ...{ number, chain },
          publicKey: sealed.publicKey.toString('base64'),
          credential: {
            blob: credential.blob.toString('base64'),
            seed: credential.seed.toString('base64'),
          },
          sealed: sealed.sealed.toString('base64'),
          signature: signature.toString('base64'),
        };
      } finally {
        forget([plain, secret, ...values.values()]);
      }
    } catch (error) {
      throw withSubject(error, id);
    }
  }
}

/** The endorsement key is the one that the machine's id is made of: nobody is asked whose it is. */
function keysOf(id: string, question: SecretsQuestion) {
  const bytes = (text: string) => Buffer.from(text, 'base64');
  const ek = parseTpmPublic(bytes(question.ek), 'EK_MALFORMED');
  checkEndorsementKey(ek);
  if (tpmNodeId(ek) !== id)
    throw new BootwaveError({
      code: 'SECRETS_EK',
      what: id.startsWith('tpm-')
        ? 'the endorsement key is that of another machine'
        : 'this machine is known without a TPM: it gets no secrets',
      unchanged: 'nothing was given',
    });
  const ak = parseTpmPublic(bytes(question.ak), 'AK_MALFORMED');
  checkAttestationKey(ak);
  const keyBytes = bytes(question.key);
  const key = parseTpmPublic(keyBytes, 'DELIVERY_KEY_MALFORMED');
  return { ek, ak, key, keyBytes, policy: policyOf(question.quote.pcrs) };
}

/** A boot server that keeps no secrets. */
export const NO_SECRETS: SecretsOfFleet = {
  newest: async () => 0,
  numberOf: async () => 0,
  give: async () => {
    throw new BootwaveError({
      code: 'SECRETS_NONE',
      what: 'this boot server has no secrets',
      unchanged: 'nothing was given',
    });
  },
};
