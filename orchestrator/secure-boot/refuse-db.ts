/** Whether the key that signs images may be changed: no node may be left without an image that it starts. Pure. */
import { type BootwaveError, refusal } from '../../base/error.ts';
import { named } from '../../base/named.ts';

/** A node that belongs to the fleet, fenced ones too. */
export type DbNode = {
  name: string;
  /** As it reports itself, or as its event log shows if it keeps one. */
  secureBoot: boolean;
  /** Ids of the fleet's certificates in its db, as it measured them; null: it has not shown its db. */
  holds: readonly string[] | null;
  /** What of it is the fleet's by a retired certificate, as text; empty: nothing. */
  retired: readonly string[];
  netboot: boolean;
  runs: string;
  /** Null: the newest. */
  wanted: string | null;
};

export const NETBOOT_NEXT =
  'to a node that boots from the network no rollout brings lists: give it mode installed, or clear the Secure Boot keys in its firmware setup and restart it';

/** Nodes that would not start what the certificate signs. */
export function withoutCertificate(nodes: readonly DbNode[], id: string): DbNode[] {
  return nodes.filter(({ secureBoot, holds }) => secureBoot && holds?.includes(id) !== true);
}

/** @param id of the certificate that is to sign @returns null when it may */
export function refuseActivation(id: string, nodes: readonly DbNode[]): BootwaveError | null {
  const behind = withoutCertificate(nodes, id);
  if (behind.length === 0) return null;
  const netboot = behind.some((node) => node.netboot) ? `; ${NETBOOT_NEXT}` : '';
  return refusal(
    'SECURE_BOOT_DB_BEHIND',
    `${behind.length} nodes have not shown a db with ${id}: ${named(behind.map(describe))}`,
    `roll out an image that was built after the certificate was prepared${netboot}; --force leaves such nodes behind, to be enrolled anew`,
  );
}

export type RetirementFacts = {
  /** Id of the certificate that will be removed. */
  id: string;
  nodes: readonly DbNode[];
  /** Version -> id of the certificate whose key signed it; published images only. */
  signers: ReadonlyMap<string, string>;
  /** Rollouts that have not ended. */
  rollouts: readonly { id: string; version: string }[];
};

/** @returns null when it may */
export function refuseRetirement({ id, nodes, signers, rollouts }: RetirementFacts): BootwaveError | null {
  const isOld = (version: string | null) => version !== null && signers.get(version) === id;
  const held = nodes.filter(({ secureBoot, runs, wanted }) => secureBoot && (isOld(runs) || isOld(wanted)));
  if (held.length > 0) {
    const names = held.map(
      ({ name, runs, wanted }) => `${name} (${isOld(runs) ? `runs ${runs}` : `shall run ${wanted}`})`,
    );
    return refusal(
      'SECURE_BOOT_DB_IN_USE',
      `${held.length} nodes run an image that ${id} signed, or shall run one: ${named(names)}`,
      "roll out an image that was built after the activation to them (unpin those that are pinned: 'bootwave node unpin'), or retire them",
    );
  }
  const open = rollouts.find(({ version }) => isOld(version));
  if (open === undefined) return null;
  return refusal(
    'SECURE_BOOT_DB_IN_USE',
    `rollout ${open.id} brings nodes to ${open.version}, which ${id} signed`,
    `let it end, or 'bootwave rollout abort ${open.id}'`,
  );
}

/**
 * @param ids of the retired certificates
 * @returns null when a machine that shows one of them may be treated as a stranger
 */
export function refuseDistrust(ids: readonly string[], nodes: readonly DbNode[]): BootwaveError | null {
  // For a node that was not heard since the retirement only its old db is known.
  const shows = ({ holds, retired }: DbNode) =>
    retired.length > 0 || (holds ?? []).some((id) => ids.includes(id));
  const behind = nodes.filter((node) => node.secureBoot && shows(node));
  if (behind.length === 0) return null;
  const names = behind.map((node) =>
    node.retired.length > 0 ? `${node.name} (${node.retired.join(', ')})` : describe(node),
  );
  const netboot = behind.some((node) => node.netboot) ? `; ${NETBOOT_NEXT}` : '';
  return refusal(
    'SECURE_BOOT_DB_BEHIND',
    `${behind.length} nodes would be taken for strangers: ${named(names)}`,
    `roll out an image that was built after the retirement${netboot}; --force shuts such nodes out, to be enrolled anew`,
  );
}

function describe({ name, holds, netboot }: DbNode): string {
  const how = holds === null ? 'has shown none' : `holds ${holds.join(' and ') || 'none of the fleet'}`;
  return `${name} (${how}${netboot ? ', boots from the network' : ''})`;
}
