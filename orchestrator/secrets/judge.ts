/** Whether a node is given the secrets of a service. Pure; every ground is what people signed or a TPM has just shown. */
import { BootwaveError } from '../../base/error.ts';
import type { Verdict } from '../../bootserver/directory.ts';
import type { VerifiedOrder } from '../../protocol/order-envelope.ts';
import type { Manifest } from '../../protocol/service/manifest.ts';
import { shownServiceVersion } from '../../protocol/service/name.ts';
import type { Bundled } from '../../protocol/service/sealed.ts';
import type { NodeRecord } from '../fleet/record.ts';
import { isMember } from '../fleet/transitions.ts';

export type SecretGrounds = {
  service: Bundled;
  /** As it is believed (fleet/decisions); null: there is none. */
  record: Pick<NodeRecord, 'id' | 'name' | 'state'> | null;
  /** Whether a ban of it is in force. */
  banned: boolean;
  /** Of the quote that came with the question. */
  verdict: Verdict;
  /** The order that the node obeys, its signature verified; null: it showed none, or one that does not hold. */
  order: VerifiedOrder | null;
  /** Why `order` is null. */
  why: string;
  /** The newest that is known to have been signed for it. */
  newest: { epoch: number; digest: string | null };
  /** What is released under this name and version; null: nothing. */
  released: { sha256: string; manifest: Manifest } | null;
};

/**
 * @returns the names of the secrets that it is given
 * @throws BootwaveError `SECRETS_NODE`, `SECRETS_TPM`, `SECRETS_NOT_ATTESTED`, `SECRETS_SECURE_BOOT`, `SECRETS_ORDER`,
 * `SECRETS_RELEASE`, `SECRETS_NONE`
 */
export function judgeSecrets(grounds: SecretGrounds): readonly string[] {
  const { service, record, released } = grounds;
  const shown = shownServiceVersion(service);
  if (record === null || !isMember(record.state) || grounds.banned)
    throw refuse('SECRETS_NODE', 'this machine is no member of the fleet, or is put out', 'let it in first');
  checkProof(record, grounds.verdict);
  checkOrder(record, grounds, shown);
  if (released === null || released.sha256 !== service.sha256)
    throw refuse(
      'SECRETS_RELEASE',
      `${shown} is not released${released === null ? '' : ' as the bundle that the order names'}`,
      "'bootwave service versions' shows what is",
    );
  const { secrets = [] } = released.manifest;
  if (secrets.length === 0) throw refuse('SECRETS_NONE', `the manifest of ${shown} names no secret`);
  return secrets;
}

/** Without Secure Boot whoever holds the machine decides what is measured, and so what a quote says. */
function checkProof({ id, name }: Pick<NodeRecord, 'id' | 'name'>, verdict: Verdict): void {
  if (!id.startsWith('tpm-'))
    throw refuse('SECRETS_TPM', `node ${name} is known without a TPM: it cannot show what it runs`);
  if (verdict.attested !== 'ok')
    throw refuse(
      'SECRETS_NOT_ATTESTED',
      `node ${name} does not show what it should: ${verdict.reason}`,
      "'bootwave node show' says what it shows (docs/attestation.md)",
    );
  if (!verdict.secureBoot)
    throw refuse('SECRETS_SECURE_BOOT', `node ${name} runs without Secure Boot: its quote is its own word`);
}

function checkOrder(
  { id, name }: Pick<NodeRecord, 'id' | 'name'>,
  { order: found, why, newest, service }: SecretGrounds,
  shown: string,
): void {
  if (found === null || found.order.node !== id)
    throw refuse('SECRETS_ORDER', `node ${name} shows no order that holds: ${why}`, 'have it ordered anew');
  const { order, digest } = found;
  const isNewest =
    order.epoch > newest.epoch ||
    (order.epoch === newest.epoch && (newest.digest === null || newest.digest === digest));
  if (!isNewest)
    throw refuse(
      'SECRETS_ORDER',
      `the order of node ${name} has epoch ${order.epoch}; epoch ${newest.epoch} was signed for it`,
      'it is asked again when the newer order is there',
    );
  const { name: wanted, version, sha256 } = service;
  const isNamed = order.services.some(
    (one) => one.name === wanted && one.version === version && one.sha256 === sha256,
  );
  if (!isNamed)
    throw refuse('SECRETS_ORDER', `the order of node ${name} does not name ${shown}`, 'order it there first');
}

function refuse(code: string, what: string, next?: string): BootwaveError {
  return new BootwaveError({ code, what, unchanged: 'nothing was given', next });
}
