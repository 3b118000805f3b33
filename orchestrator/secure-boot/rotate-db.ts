/** Changes the key that signs images: collects what prevents a step, takes it, and writes the history. */
import type { DataPaths } from '../../base/paths.ts';
import { signersOf } from '../../image/build/manifest.ts';
import { refuseOlderLists } from '../../image/build/secure-boot-lists.ts';
import { activateDb, distrustDb, prepareDb, retireDb, stateError } from '../../keys/db-keys.ts';
import { readFleetLists } from '../../keys/secure-boot-lists.ts';
import { type DbCertificate, type DbEntry, dbCertificates } from '../../keys/secure-boot-state.ts';
import type { By } from '../fleet/acting.ts';
import { wantedImage } from '../fleet/events/pin.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { ENDED } from '../rollout/record.ts';
import { listRollouts } from '../rollout/run/list.ts';
import { inTurn, refuseWithoutKeys, registeredNodes } from './change-lists.ts';
import {
  type DbNode,
  refuseActivation,
  refuseDistrust,
  refuseRetirement,
  withoutCertificate,
} from './refuse-db.ts';

export type DbOptions = {
  paths: DataPaths;
  fleet: Fleet;
  by: By;
  reason: string;
  /** Nodes that cannot follow are left behind. */
  force?: boolean;
};

/** A certificate of the fleet, and who holds it. */
export type ShownDb = DbEntry & {
  /** Nodes with Secure Boot on whose measured db holds it. */
  holders: number;
};

export type DbView = {
  generation: number;
  certificates: ShownDb[];
  /** Nodes with Secure Boot on, and those of them that have not shown their db. */
  nodes: { all: number; unknown: number };
  /**
   * Names of those that boot from the network and do not have the db that nodes should have: no rollout changes that.
   */
  stranded: string[];
};

/** @throws BootwaveError `SECURE_BOOT_LISTS_INVALID` */
export async function showDb(paths: Pick<DataPaths, 'keys'>, fleet: Fleet): Promise<DbView> {
  const [{ generation }, all, nodes] = await Promise.all([
    readFleetLists(paths.keys),
    dbCertificates(paths.keys),
    nodesOf(fleet),
  ]);
  const secure = nodes.filter(({ secureBoot }) => secureBoot);
  const wanted = all.find(({ state }) => state === 'next') ?? all.find(({ state }) => state === 'current')!;
  // A fleet with only its first certificate has nothing to check.
  const behind = all.length === 1 ? [] : withoutCertificate(nodes, wanted.id);
  return {
    generation,
    certificates: all.map(({ der: _, files: __, ...entry }) => ({
      ...entry,
      holders: secure.filter(({ holds }) => holds?.includes(entry.id) === true).length,
    })),
    nodes: { all: secure.length, unknown: secure.filter(({ holds }) => holds === null).length },
    stranded: behind.filter(({ netboot }) => netboot).map(({ name }) => name),
  };
}

/** @throws BootwaveError `KEYS_MISSING`, `SECURE_BOOT_LISTS_OLD`, and those of `prepareDb`; nothing is changed then */
export function prepare(options: DbOptions): Promise<DbCertificate> {
  return step(options, 'prepare', (at) => prepareDb(options.paths.keys, at));
}

/** @throws BootwaveError `SECURE_BOOT_DB_BEHIND`, and those of `prepare` */
export function activate(options: DbOptions): Promise<DbCertificate> {
  const { paths, fleet, force } = options;
  return step(options, 'activate', async (at) => {
    const next = (await dbCertificates(paths.keys)).find(({ state }) => state === 'next');
    if (next !== undefined && force !== true) {
      const refused = refuseActivation(next.id, await nodesOf(fleet));
      if (refused !== null) throw refused;
    }
    return activateDb(paths.keys, at);
  });
}

/** @throws BootwaveError `SECURE_BOOT_DB_IN_USE`, and those of `prepare` */
export function retire(options: DbOptions): Promise<DbCertificate> {
  const { paths, fleet, force } = options;
  return step(options, 'retire', async (at) => {
    const all = await dbCertificates(paths.keys);
    const old = all.find(({ state }) => state === 'old');
    if (old === undefined) throw stateError('no db certificate is old', 'bootwave keys secure-boot show');
    if (force !== true) {
      const [nodes, signers, rollouts] = await Promise.all([
        nodesOf(fleet),
        signersOf(paths.images, all[0]!.id),
        listRollouts(fleet.redis),
      ]);
      const open = rollouts.filter(({ state }) => !ENDED.includes(state));
      const refused = refuseRetirement({ id: old.id, nodes, signers, rollouts: open });
      if (refused !== null) throw refused;
    }
    return retireDb(paths.keys, at);
  });
}

/**
 * The end of a retirement: until then a node with the old certificate is `differs`, for the image that changes its db has
 * to reach it.
 * @throws BootwaveError `SECURE_BOOT_DB_BEHIND`, and those of `prepare`
 */
export function distrust(options: DbOptions): Promise<DbCertificate> {
  const { paths, fleet, force } = options;
  return step(options, 'distrust', async (at) => {
    const retired = (await dbCertificates(paths.keys)).filter(({ state }) => state === 'retired');
    const ids = retired.map(({ id }) => id);
    const refused = force === true ? null : refuseDistrust(ids, await nodesOf(fleet));
    if (refused !== null) throw refused;
    return distrustDb(paths.keys, at);
  });
}

function step(
  { paths, fleet, by, reason }: DbOptions,
  name: 'prepare' | 'activate' | 'retire' | 'distrust',
  act: (step: { reason: string; by: string; at: number }) => Promise<DbCertificate>,
): Promise<DbCertificate> {
  return inTurn(paths.keys, async () => {
    await refuseWithoutKeys(paths.keys);
    await refuseOlderLists(paths.images, (await readFleetLists(paths.keys)).generation);
    const before = await dbCertificates(paths.keys);
    const changed = await act({ reason, by: by.actor, at: by.at });
    if (before.some(({ id, state }) => id === changed.id && state === changed.state)) return changed;
    const { generation } = await readFleetLists(paths.keys);
    await fleet.audit.append({
      ...by,
      action: `${name}-db-key`,
      reason: `db certificate ${changed.id}: ${reason}`,
      detail: { generation: String(generation), certificate: changed.id },
    });
    return changed;
  });
}

async function nodesOf(fleet: Fleet): Promise<DbNode[]> {
  return (await registeredNodes(fleet)).map((record) => ({
    name: record.name,
    secureBoot: record.observed.firmware?.secureBoot ?? record.observed.secureBoot === 'on',
    holds: record.observed.firmware?.db ?? null,
    retired: record.observed.firmware?.retired ?? [],
    netboot: record.wanted.mode === 'netboot',
    runs: record.observed.image,
    wanted: wantedImage(record, Date.now()),
  }));
}
