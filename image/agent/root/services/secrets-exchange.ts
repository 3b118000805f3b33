/**
 * Root's side of the way of a secret: it asks with a key that it makes for this one question, has the TPM open what comes
 * back, and keeps it where nobody but root and the instance gets at it. The agent carries both and sees neither.
 */
import { createPrivateKey, verify } from 'node:crypto';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { BootwaveError } from '../../../../base/error.ts';
import { writeFileAtomic } from '../../../../base/files.ts';
import { jsonIn } from '../../../../base/json.ts';
import type { HelperQuote } from '../../../../protocol/agent/machine.ts';
import type { SecretsAnswer, SecretsQuestion } from '../../../../protocol/enrolment/secrets.ts';
import type { Order } from '../../../../protocol/order.ts';
import {
  answerData,
  askData,
  type Bundled,
  exchangeKey,
  openSecrets,
  policyOf,
  type SecretsAsk,
} from '../../../../protocol/service/sealed.ts';
import { decodeSecrets, forget } from '../../../../protocol/service/secrets.ts';
import { bootServerKey } from '../boot-server-key.ts';
import type { Tpm } from '../tpm.ts';
import { holdSecrets, secretsFolder, secretsIn } from './secrets.ts';

export type ExchangePlaces = {
  /** `/run/bootwave` */
  run: string;
  /** Fleet keys inside the image. */
  fleet: string;
  /** Null on a machine without a TPM. */
  tpm: Pick<Tpm, 'identify' | 'heldPcrs' | 'deliveryKey' | 'openDelivery'> | null;
  quote(extraData: Buffer): Promise<HelperQuote>;
  /** The order in force, verified by root. */
  order(): Promise<{ order: Order; envelope: unknown }>;
  /** Milliseconds since the epoch. */
  now(): number;
};

const openSchema = z.object({
  /** X25519, PKCS#8 and its public 32 bytes, base64. */
  privateKey: z.string(),
  publicKey: z.string(),
  /** Of the delivery key, hex. */
  policy: z.string(),
});
const fileOf = (run: string, service: Bundled): string =>
  join(secretsFolder(secretsIn(run), service), 'question.json');

/** @throws BootwaveError `SECRETS_TPM`, `SECRETS_SERVICE`, what `order` throws */
export async function askSecrets(
  name: string,
  nonce: Buffer,
  places: ExchangePlaces,
): Promise<SecretsQuestion> {
  const tpm = mustHave(places.tpm);
  const { node, service, envelope } = await orderedBundle(name, places);
  const { ek, ak } = await tpm.identify();
  // Nothing vouches for these values, and nothing has to: the quote below shows them, or the server refuses the key.
  const policy = policyOf(await tpm.heldPcrs());
  const key = await tpm.deliveryKey(policy);
  const { privateKey, publicKey } = exchangeKey();
  const quote = await places.quote(askData({ node, service, publicKey }, nonce, key));
  const base64 = (bytes: Buffer) => bytes.toString('base64');
  const der = privateKey.export({ type: 'pkcs8', format: 'der' });
  const open = { privateKey: base64(der), publicKey: base64(publicKey), policy: policy.toString('hex') };
  forget([der]);
  const file = fileOf(places.run, service);
  await mkdir(join(file, '..'), { recursive: true, mode: 0o711 });
  await writeFileAtomic(file, JSON.stringify(open));
  return {
    ...{ service, publicKey: open.publicKey, order: envelope, quote },
    ...{ ek: base64(ek), ak: base64(ak), key: base64(key) },
  };
}

/**
 * Each question takes one answer.
 * @throws BootwaveError `SECRETS_TPM`, `SECRETS_SERVICE`, `SECRETS_UNASKED`, `SECRETS_SIGNATURE`, `SECRETS_SEALED`,
 * `SECRETS_MALFORMED`, `SERVER_NOT_TRUSTED`, `TPM_ACTIVATION`; what is held then is as it was
 */
export async function takeSecrets(
  name: string,
  answer: SecretsAnswer,
  places: ExchangePlaces,
): Promise<{ changed: boolean }> {
  const tpm = mustHave(places.tpm);
  const { node, service } = await orderedBundle(name, places);
  const file = fileOf(places.run, service);
  const { data: open } = openSchema.safeParse(jsonIn(await readFile(file, 'utf8').catch(() => '')));
  if (open === undefined)
    throw refuse('SECRETS_UNASKED', `root has asked for no secrets of ${name}, or has them already`);
  const bytes = (text: string) => Buffer.from(text, 'base64');
  const ask: SecretsAsk = { node, service, publicKey: bytes(open.publicKey) };
  const { number } = answer;
  const sealed = { publicKey: bytes(answer.publicKey), number, sealed: bytes(answer.sealed) };
  const credential = { blob: bytes(answer.credential.blob), seed: bytes(answer.credential.seed) };
  const root = await readFile(join(places.fleet, 'root.crt'), 'utf8');
  const server = bootServerKey(answer.chain, root, places.now(), (why, cause) =>
    refuse('SECRETS_SIGNATURE', `the answer ${why}`, cause),
  );
  if (!verify('sha256', answerData(ask, sealed, credential), server, bytes(answer.signature)))
    throw refuse('SECRETS_SIGNATURE', 'no boot server of this fleet has given this answer to this question');
  const secret = await tpm.openDelivery(Buffer.from(open.policy, 'hex'), credential.blob, credential.seed);
  const privateKey = createPrivateKey({ key: bytes(open.privateKey), format: 'der', type: 'pkcs8' });
  const plain = openSecrets(ask, privateKey, sealed, secret);
  const values = decodeSecrets(plain);
  try {
    return { changed: await holdSecrets(secretsIn(places.run), service, number, values) };
  } finally {
    forget([plain, secret, ...values.values()]);
    // With the key that opened it: recorded, it opens no more.
    await rm(file, { force: true });
  }
}

/** What the agent names counts only if the fleet has ordered it here. */
async function orderedBundle(
  name: string,
  { order }: Pick<ExchangePlaces, 'order'>,
): Promise<{ node: string; service: Bundled; envelope: unknown }> {
  const { order: inForce, envelope } = await order();
  const { node, services } = inForce;
  const found = services.find((one) => one.name === name);
  if (found === undefined) throw refuse('SECRETS_SERVICE', `the order in force does not name ${name}`);
  const { version, sha256 } = found;
  return { node, service: { name, version, sha256 }, envelope };
}

function mustHave<T>(tpm: T | null): T {
  if (tpm !== null) return tpm;
  throw refuse('SECRETS_TPM', 'without a TPM this node cannot show what it runs: it gets no secrets');
}

function refuse(code: string, what: string, cause?: unknown): BootwaveError {
  return new BootwaveError({ code, what, unchanged: 'nothing was kept', cause });
}
