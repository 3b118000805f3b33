/** A team whose key is on this machine: services released and withdrawn in one step. */
import { join } from 'node:path';
import { BootwaveError, refusal } from '../../../base/error.ts';
import { targetOfBundle, withoutTarget, withTarget } from '../../../image/publish/bundled.ts';
import { makingIn } from '../../../image/publish/bundles.ts';
import { readTeamKey } from '../../../image/publish/team-files.ts';
import { changeOfTeam } from '../../../image/publish/team-release.ts';
import { teams } from '../../../image/publish/teams.ts';
import { packImage } from '../../../image/services/pack.ts';
import {
  bundleTarget,
  FLEET,
  type ServiceVersion,
  shownServiceVersion,
} from '../../../protocol/service/name.ts';
import type { Acting } from '../operation.ts';
import type { Published } from '../service/acts.ts';
import { serviceIn } from '../service/named.ts';

type Asked = { service: string; oci: string; manifest: string; key: string };

export async function release(
  { service: text, oci, manifest, key: file }: Asked,
  { paths, signal }: Acting,
): Promise<Published> {
  const service = serviceIn(text);
  const team = await teamOf(service, paths);
  const key = await readTeamKey(file);
  return makingIn(paths.bundles, async (folder) => {
    const packed = await packImage({ service, oci, manifest, out: join(folder, 'bundle'), signal });
    await changeOfTeam(team, key, withTarget(targetOfBundle(packed)), { paths }, [packed]);
    const { file: _, ...rest } = packed;
    return { service: shownServiceVersion(service), ...rest };
  });
}

export async function withdraw(
  { service: text, key: file }: Pick<Asked, 'service' | 'key'>,
  { paths }: Acting,
) {
  const service = serviceIn(text);
  const team = await teamOf(service, paths);
  const edit = withoutTarget(bundleTarget(service));
  const changed = await changeOfTeam(team, await readTeamKey(file), edit, { paths });
  return { service: shownServiceVersion(service), changed };
}

/** The owner is the last word of the team's prefix. @throws BootwaveError `SERVICE_OWNER` */
async function teamOf(service: ServiceVersion, paths: Acting['paths']): Promise<string> {
  const [owner, word] = service.name.split('/');
  if (owner === FLEET)
    throw refusal(
      'SERVICE_OWNER',
      `${shownServiceVersion(service)} is the core team's, and no team's`,
      `write the owner before it, as in web/${word}:${service.version}`,
    );
  const prefix = `services/${owner}`;
  const found = (await teams(paths)).find((team) => team.prefix === prefix);
  if (found !== undefined) return found.name;
  throw new BootwaveError({
    code: 'SERVICE_OWNER',
    what: `no team may release ${shownServiceVersion(service)}: to none is ${prefix} delegated`,
    unchanged: 'nothing was published',
    next: `let the core team delegate it: 'bootwave team add TEAM --prefix ${prefix} --key FILE'`,
  });
}
