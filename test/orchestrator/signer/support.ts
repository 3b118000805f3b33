import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import type { ExecutionContext } from 'ava';
import type { DataPaths } from '../../../base/paths.ts';
import { publishManifests } from '../../../lab/sim/images.ts';
import { journalFile } from '../../../orchestrator/fleet/decisions/journal.ts';
import { knownOperators } from '../../../orchestrator/operators/known.ts';
import { newestHere } from '../../../orchestrator/releases/newest.ts';
import { PublishedManifests } from '../../../orchestrator/releases/published.ts';
import { Consents, recordConsent } from '../../../orchestrator/signer/consents.ts';
import { DecisionsHere } from '../../../orchestrator/signer/decisions.ts';
import { signerFiles } from '../../../orchestrator/signer/files.ts';
import { SIGNER_LIMITS, type SignerLimits } from '../../../orchestrator/signer/judge.ts';
import { Ledger } from '../../../orchestrator/signer/ledger.ts';
import { Signer } from '../../../orchestrator/signer/signer.ts';
import type { Order } from '../../../protocol/order.ts';
import { orderKeyId, verifyOrder } from '../../../protocol/order-envelope.ts';
import { temporaryData } from '../fleet/support.ts';
import { NOW, orderOf } from './orders.ts';

export const ANN = { actor: 'operator:ann', at: NOW };
export const VERSIONS = ['1.0', '2.0', '3.0'];

/** A signer on a disk of its own, with its clock in the test's hand. */
export async function signerFor(t: ExecutionContext, limits: Partial<SignerLimits> = { wipesPerHour: 2 }) {
  const paths = await temporaryData(t);
  await publishManifests(paths.images, VERSIONS);
  return { paths, ...(await signerAt(t, paths, limits)) };
}

const { privateKey, publicKey } = generateKeyPairSync('ed25519');
export const KEYS = new Map([[orderKeyId(publicKey), publicKey]]);
export const PRIVATE_KEY = privateKey;

export async function signerAt(t: ExecutionContext, paths: DataPaths, limits: Partial<SignerLimits>) {
  const files = signerFiles(paths);
  await mkdir(files.folder, { recursive: true });
  const clock = { now: NOW };
  const released = new Map<string, { sha256: string; size: number }>();
  const ledger = await Ledger.open(files.ledger, clock.now);
  t.teardown(() => ledger.close().catch(() => {}));
  const decisions = new DecisionsHere(journalFile(paths));
  const manifests = new PublishedManifests(paths.images);
  const signer = new Signer({
    key: { id: orderKeyId(publicKey), publicKey, sign: (bytes) => sign(null, bytes, privateKey) },
    ledger,
    consents: new Consents(files.consents),
    decisions,
    newest: newestHere(paths, manifests),
    operators: () => knownOperators(paths),
    facts: (version) => manifests.manifest(version),
    bundles: async () => released,
    limits: { ...SIGNER_LIMITS, ...limits },
    now: () => clock.now,
  });
  return {
    files,
    clock,
    ledger,
    decisions,
    signer,
    released,
    says: (word: Parameters<typeof recordConsent>[1], at = clock.now) =>
      recordConsent(files.consents, word, { ...ANN, at }),
    /** The order that comes out, verified as its node does. */
    async signed(more: Partial<Order> = {}) {
      const order = orderOf(more, clock.now);
      const envelope = await signer.sign(order);
      return verifyOrder(envelope, KEYS, { nodeId: order.node, now: clock.now, last: null });
    },
  };
}
