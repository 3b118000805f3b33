import { makingIn } from '../../../image/publish/bundles.ts';
import { makeTeamKey, readPublicKey, signTeamFile } from '../../../image/publish/team-files.ts';
import { releaseOfTeam } from '../../../image/publish/team-release.ts';
import { delegate, teams, undelegate } from '../../../image/publish/teams.ts';
import { bringBundles } from '../../../image/services/bring.ts';
import type { Acting } from '../operation.ts';

type Media = { keys: readonly string[] };
type Team = { name: string; prefix: string; publicKeys: readonly string[]; threshold: number };

export async function key({ file }: { file: string }) {
  const { public: made } = await makeTeamKey(file);
  return { file, id: made.keyID };
}

export async function add(
  { name, prefix, publicKeys, threshold, keys: media }: Team & Media,
  { paths }: Acting,
) {
  await delegate({ name, prefix, keys: publicKeys.map(readPublicKey), threshold }, { paths, media });
  return { name, prefix };
}

export const list = (_: object, { paths }: Acting) => teams(paths);

export async function remove({ name, keys: media }: { name: string } & Media, { paths }: Acting) {
  await undelegate(name, { paths, media });
  return { name };
}

type Signing = {
  add: readonly { path: string; file: string }[];
  without: readonly string[];
  last: string | null;
  key: string;
  out: string;
};

export async function sign(wanted: Signing, { by }: Acting) {
  return { out: wanted.out, targets: await signTeamFile(wanted, by.at) };
}

type Publishing = { name: string; metadata: string; bundles: readonly string[] };

export async function publish({ name, metadata, bundles: files }: Publishing, { paths }: Acting) {
  const bytes = Buffer.from(metadata, 'utf8');
  const before = (await teams(paths)).find((team) => team.name === name)?.targets ?? [];
  const targets = await makingIn(paths.bundles, async (folder) =>
    releaseOfTeam(name, bytes, { paths }, await bringBundles(files, bytes, folder)),
  );
  return { name, targets, gone: before.filter((path) => !targets.includes(path)) };
}
