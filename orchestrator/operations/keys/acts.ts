import { refuseOlderLists } from '../../../image/build/secure-boot-lists.ts';
import { initKeys } from '../../../keys/init.ts';
import { AUTHORITIES, type AuthorityName, keyLayout } from '../../../keys/layout.ts';
import { type FleetLists, readFleetLists } from '../../../keys/secure-boot-lists.ts';
import type { DbCertificate } from '../../../keys/secure-boot-state.ts';
import { showKeys } from '../../../keys/show.ts';
import { type TpmRoot, TpmRoots } from '../../../keys/tpm-roots.ts';
import * as ca from '../../rotation/rotate.ts';
import { revokeImage } from '../../secure-boot/revoke.ts';
import * as db from '../../secure-boot/rotate-db.ts';
import type { Acting } from '../operation.ts';

export const init = (_: object, { paths }: Acting) => initKeys(paths.keys);
export const show = (_: object, { paths }: Acting) => showKeys(paths.keys);

const rootsOf = ({ paths }: Acting) => new TpmRoots(keyLayout(paths.keys).tpmRoots);

export async function tpmRootsAdd({ files }: { files: readonly string[] }, acting: Acting) {
  const added: TpmRoot[] = [];
  for (const file of files) added.push(...(await rootsOf(acting).add(Buffer.from(file, 'base64'))));
  return added;
}

export const tpmRootsList = (_: object, acting: Acting) => rootsOf(acting).list();

export type CaView = { ca: AuthorityName; authorities: ca.Shown[]; missing: string[] };

export async function caShow(_: object, { paths, bans }: Acting): Promise<CaView[]> {
  await bans.look();
  return Promise.all(
    AUTHORITIES.map(async (name) => {
      const { all, missing } = await ca.showAuthorities(paths, bans.set, name);
      return { ca: name, authorities: all, missing: [...missing] };
    }),
  );
}

type CaInput = { ca: AuthorityName; id?: string | undefined; reason: string; force: boolean };

const caStep =
  (step: (name: AuthorityName, word: string | undefined, options: ca.RotateOptions) => Promise<ca.Shown>) =>
  async ({ ca: name, id, reason, force }: CaInput, { fleet, bans, paths, by }: Acting) => {
    await bans.look();
    const shown = await step(name, id, { fleet, bans, paths, by, reason, force });
    // It is in this machine's journal before anybody is told.
    await bans.look();
    return { ca: name, ...shown };
  };
export const caSteps = {
  prepare: caStep((name, _, options) => ca.prepare(name, options)),
  activate: caStep(ca.activate),
  taint: caStep((name, word = '', options) => ca.taint(name, word, options)),
  revoke: caStep((name, word = '', options) => ca.revoke(name, word, options)),
};

export type Lists = Pick<FleetLists, 'generation' | 'revoked'>;
export type ListsView = Lists & { db: db.DbView };

export async function secureBootShow(_: object, { paths, fleet }: Acting): Promise<ListsView> {
  const { generation, revoked } = await readFleetLists(paths.keys);
  // Keys from an old backup know less than the nodes do.
  await refuseOlderLists(paths.images, generation);
  return { generation, revoked, db: await db.showDb(paths, fleet) };
}

export async function secureBootRevoke(
  { version, reason }: { version: string; reason: string },
  { paths, fleet, by }: Acting,
) {
  const { changed, generation, revoked } = await revokeImage(paths, fleet, version, reason, by);
  return { version, changed, generation, revoked };
}

export type DbStep = Pick<DbCertificate, 'id' | 'state'> & { generation: number };
type DbInput = { reason: string; force: boolean };

const dbStep =
  <I extends DbInput>(which: (input: I) => (options: db.DbOptions) => Promise<DbCertificate>) =>
  async (input: I, { paths, fleet, by }: Acting): Promise<DbStep> => {
    const { reason, force } = input;
    const { id, state } = await which(input)({ paths, fleet, by, reason, force });
    const { generation } = await readFleetLists(paths.keys);
    return { id, state, generation };
  };
export const dbSteps = {
  prepare: dbStep(() => db.prepare),
  activate: dbStep(() => db.activate),
  retire: dbStep(({ final }: DbInput & { final: boolean }) => (final ? db.distrust : db.retire)),
};
