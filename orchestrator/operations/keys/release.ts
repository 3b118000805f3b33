import { roles } from '../../../image/publish/roles.ts';
import { type Ceremony, ceremony, rotate } from '../../../image/publish/rotate.ts';
import type { ReleaseRole } from '../../../keys/release/roles.ts';
import type { Acting } from '../operation.ts';

type Media = { keys: readonly string[] };

export const shownRoles = ({ keys }: Media, { paths }: Acting) => roles(paths, keys);

export const rotateRole = ({ role, keys: media }: Media & { role: ReleaseRole }, { paths }: Acting) =>
  rotate(role, { paths, media });

export const holdCeremony = ({ keys: media, ...wanted }: Media & Ceremony, { paths }: Acting) =>
  ceremony(wanted, { paths, media });
