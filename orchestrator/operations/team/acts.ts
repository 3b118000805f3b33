import { makeTeamKey, readPublicKey, signTeamFile } from '../../../image/publish/team-files.ts';
import { releaseOfTeam } from '../../../image/publish/team-release.ts';
import { delegate, teams, undelegate } from '../../../image/publish/teams.ts';
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

export async function publish({ name, metadata }: { name: string; metadata: string }, { paths }: Acting) {
  return { name, targets: await releaseOfTeam(name, Buffer.from(metadata, 'utf8'), { paths }) };
}
