/** Revokes an image in firmware: collects what prevents it, signs the next dbx, and writes the history. */
import { BootwaveError } from '../../base/error.ts';
import { digestOfFile, withFile } from '../../base/files.ts';
import type { DataPaths } from '../../base/paths.ts';
import { authenticodeSha256 } from '../../formats/pe/authenticode.ts';
import { compareVersions } from '../../formats/version.ts';
import { imageFile, publishedVersions, readManifest } from '../../image/build/manifest.ts';
import { refuseOlderLists } from '../../image/build/secure-boot-lists.ts';
import { Released } from '../../image/publish/released.ts';
import { type FleetLists, readFleetLists, revokeAtFirmware } from '../../keys/secure-boot-lists.ts';
import type { By } from '../fleet/acting.ts';
import { wantedImage } from '../fleet/events/pin.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { readFloor } from '../releases/floor.ts';
import { readWithdrawn } from '../releases/withdrawn.ts';
import { ENDED } from '../rollout/record.ts';
import { listRollouts } from '../rollout/run/list.ts';
import { inTurn, refuseWithoutKeys, registeredNodes } from './change-lists.ts';
import { type RevocationFacts, refuseRevocation } from './refuse.ts';

/**
 * @returns the lists then in force; `changed` is false when the version was revoked before
 * @throws BootwaveError `IMAGE_UNKNOWN`, `KEYS_MISSING`, `IMAGE_FILE_DIFFERS`, `SECURE_BOOT_NEWEST`, `SECURE_BOOT_IN_USE`,
 * `SECURE_BOOT_LISTS_OLD`, and what `revokeAtFirmware` throws; nothing is revoked then
 */
export async function revokeImage(
  paths: DataPaths,
  fleet: Fleet,
  version: string,
  reason: string,
  by: By,
): Promise<FleetLists & { changed: boolean }> {
  const { sha256: published } = await readManifest(paths.images, version);
  await refuseWithoutKeys(paths.keys);
  return inTurn(paths.keys, async () => {
    const before = await readFleetLists(paths.keys);
    if (before.revoked.some((image) => image.version === version)) return { ...before, changed: false };
    await refuseOlderLists(paths.images, before.generation);
    const refused = refuseRevocation(await factsOf(paths, fleet, version, before));
    if (refused !== null) throw refused;
    const file = imageFile(paths.images, version);
    // A dbx entry for a file other than the nodes' would forbid nothing.
    if ((await digestOfFile(file).catch(() => '')) !== published) throw differs(file);
    const sha256 = await withFile(file, authenticodeSha256);
    const image = { version, sha256, reason, by: by.actor, at: by.at };
    const after = await revokeAtFirmware(paths.keys, image);
    await fleet.audit.append({
      ...by,
      action: 'revoke-image',
      reason: `image ${version}: ${reason}`,
      detail: { generation: String(after.generation), authenticode: sha256 },
    });
    return { ...after, changed: true };
  });
}

async function factsOf(
  paths: DataPaths,
  fleet: Fleet,
  version: string,
  lists: FleetLists,
): Promise<RevocationFacts> {
  const { redis } = fleet;
  const [published, released, withdrawn, floor, registered, rollouts] = await Promise.all([
    publishedVersions(paths.images),
    new Released(paths.releases).images(),
    readWithdrawn(redis),
    readFloor(redis),
    registeredNodes(fleet),
    listRollouts(redis),
  ]);
  const usable = published.filter(
    (one) =>
      (released === null || released.has(one)) &&
      withdrawn[one] === undefined &&
      (floor === null || compareVersions(one, floor) >= 0) &&
      !lists.revoked.some((image) => image.version === one),
  );
  const nodes = registered.map((record) => ({
    name: record.name,
    runs: record.observed.image,
    wanted: wantedImage(record, Date.now()),
  }));
  const open = rollouts.filter((rollout) => rollout.version === version && !ENDED.includes(rollout.state));
  return { version, usable, nodes, rollouts: open.map(({ id }) => id) };
}

function differs(file: string): BootwaveError {
  return new BootwaveError({
    code: 'IMAGE_FILE_DIFFERS',
    what: `${file} is not the file that was published`,
    unchanged: 'nothing was revoked',
    next: 'restore the image from a backup',
  });
}
