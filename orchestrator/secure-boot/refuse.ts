/** Whether an image may be revoked in firmware: no node may be left without an image that starts. Pure. */
import { BootwaveError } from '../../base/error.ts';
import { named } from '../../base/named.ts';
import { compareVersions } from '../../formats/version.ts';

export type RevocationFacts = {
  version: string;
  /** Images to which a node may go: published, released, neither withdrawn, revoked nor below the floor. */
  usable: readonly string[];
  /** Nodes that belong to the fleet, fenced ones too. `wanted` is null for the newest: never this one. */
  nodes: readonly { name: string; runs: string; wanted: string | null }[];
  /** Ids of the rollouts to it that have not ended. */
  rollouts: readonly string[];
};

/** @returns null when it may */
export function refuseRevocation({
  version,
  usable,
  nodes,
  rollouts,
}: RevocationFacts): BootwaveError | null {
  if (!usable.some((other) => compareVersions(other, version) > 0)) {
    return refusal(
      'SECURE_BOOT_NEWEST',
      `no image that is newer than ${version} is released: nodes would have none to go to`,
      "build a newer one with 'bootwave image build', and roll it out",
    );
  }
  const held = nodes.filter(({ runs, wanted }) => runs === version || wanted === version);
  if (held.length > 0) {
    const names = held.map((node) => `${node.name} (${node.runs === version ? 'runs' : 'shall run'} it)`);
    return refusal(
      'SECURE_BOOT_IN_USE',
      `${held.length} nodes run ${version} or shall run it: ${named(names)}`,
      "roll a newer image out to them first ('bootwave rollout start'; to those that are pinned after 'bootwave node unpin'), or retire them",
    );
  }
  const [rollout] = rollouts;
  if (rollout !== undefined) {
    const next = `let it end, or 'bootwave rollout abort ${rollout}'`;
    return refusal('SECURE_BOOT_IN_USE', `rollout ${rollout} brings ${version} to nodes`, next);
  }
  return null;
}

function refusal(code: string, what: string, next: string): BootwaveError {
  return new BootwaveError({ code, what, unchanged: 'nothing was revoked', next });
}
