/**
 * The files of one instance below /run: what its units and crun read, and root's record of it. Gone with the boot, as the
 * instances are.
 */
import { chmod, mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as z from 'zod/mini';
import { writeFileAtomic } from '../../../../base/files.ts';
import { jsonIn } from '../../../../base/json.ts';
import { versionSchema } from '../../../../formats/version.ts';
import { instanceId, instanceUnit } from '../../../../protocol/agent/units.ts';
import { type OrderedService, type Restraint, restraintSchema } from '../../../../protocol/order.ts';
import type { BundleCustom } from '../../../../protocol/service/bundle.ts';
import { healthSchema } from '../../../../protocol/service/manifest.ts';
import { instanceNameSchema, sliceOf } from '../../../../protocol/service/name.ts';
import { flowEntries } from './flows.ts';
import { type FreezerPlaces, freezerText } from './freezer.ts';
import { connectionRules, instanceRules, linkCommands, nodeEntries, portKeys } from './net.ts';
import { ociConfig, processOf } from './oci.ts';
import type { Place } from './place.ts';
import type { Held } from './secrets.ts';
import { bundleText, bundleUnit, checkText, checkUnit, instanceText, netText, netUnit } from './units.ts';

export type InstancePlaces = FreezerPlaces & {
  /** `/run/bootwave/services`, of root. */
  run: string;
  /** `/run/systemd/system` */
  units: string;
  /** `/run/netns` */
  networks: string;
  /** See `InstanceFolders`. */
  shared: string;
  /** The program of copy.c, for instances of slices. */
  copy: string;
};

const recordSchema = z.strictObject({
  format: z.literal(1),
  name: instanceNameSchema,
  version: versionSchema,
  sha256: z.string().check(z.regex(/^[0-9a-f]{64}$/)),
  slot: z.int(),
  ports: z.array(z.string()),
  restarts: z.int(),
  revivals: z.int(),
  /** Milliseconds since the boot. */
  begun: z.number(),
  /** Tag of the secrets that it was started with; absent: it has none. */
  secrets: z.optional(z.string()),
  /** How to ask for its health, also once it is not released any more; absent: it has no check. */
  health: z.optional(healthSchema),
  /** As the order that was in force when it was looked at last says; absent: it is free. */
  restraint: z.optional(restraintSchema),
  /** That was begun to be changed, and nobody knows how far it came. */
  unsure: z.optional(z.literal(true)),
  /** Of its manifest: percent of one processor, and bytes. Absent: it is of no slice. */
  limits: z.optional(z.object({ cpu: z.int(), memory: z.int() })),
  /** Another version that could not take its place, and when; milliseconds since the boot. */
  tried: z.optional(
    z.strictObject({
      version: versionSchema,
      sha256: z.string(),
      at: z.number(),
      state: z.enum(['refused', 'failed']),
      why: z.string(),
    }),
  ),
});
export type InstanceRecord = z.infer<typeof recordSchema>;

export const instanceFolder = ({ run }: Pick<InstancePlaces, 'run'>, name: string): string =>
  join(run, 'instances', instanceId(name));
export const mountFolder = ({ run }: Pick<InstancePlaces, 'run'>, sha256: string): string =>
  join(run, 'mounts', sha256);

/** What root began in this boot. A record that was torn, or of another version of this code, counts as none. */
export async function recordsIn(places: Pick<InstancePlaces, 'run'>): Promise<InstanceRecord[]> {
  const records: InstanceRecord[] = [];
  for (const id of await readdir(join(places.run, 'instances')).catch(() => [])) {
    const text = await readFile(join(places.run, 'instances', id, 'instance.json'), 'utf8').catch(() => '{}');
    const { data } = recordSchema.safeParse(jsonIn(text));
    if (data !== undefined) records.push(data);
  }
  return records;
}

/** A bundle is mounted there already: it brings its own mode. */
function readOnly(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EROFS') throw error;
}

export type InstanceParts = {
  service: OrderedService;
  bundle: Pick<BundleCustom, 'rootHash' | 'dataBytes' | 'manifest'>;
  /** Where the bundle lies. */
  file: string;
  place: Place;
  /** The folder that it keeps, see `InstanceFolders`. */
  state: string | null;
  /** Those that it is given; null: it asks for none. */
  secrets: Held | null;
  restraint: Restraint | null;
};

/** Writes all that is needed to start it; the record comes last. */
export async function writeInstance(
  { service, bundle, file, place, state, secrets, restraint }: InstanceParts,
  record: Pick<InstanceRecord, 'restarts' | 'revivals' | 'begun'>,
  places: InstancePlaces,
): Promise<void> {
  const { name, version, sha256 } = service;
  const { manifest, rootHash, dataBytes } = bundle;
  const id = instanceId(name);
  const slice = sliceOf(name);
  const folder = instanceFolder(places, name);
  const root = mountFolder(places, sha256);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await mkdir(root, { recursive: true });
  // An instance's root goes through them with ids that are nobody's here; whatever the umask is.
  for (const open of [places.run, dirname(root), root]) await chmod(open, 0o711).catch(readOnly);
  const config = ociConfig(
    manifest,
    place,
    {
      ...{ root, state, shared: places.shared, network: join(places.networks, place.interface) },
      secrets: secrets?.folder ?? null,
      copy: slice === null ? null : places.copy,
    },
    id,
  );
  const entries = nodeEntries(manifest, place);
  const flows = flowEntries(id, place);
  const links = linkCommands(place);
  const check = manifest.health?.check;
  const files: [path: string, text: string | null][] = [
    [join(folder, 'config.json'), JSON.stringify(config)],
    [
      join(folder, 'check.json'),
      check?.kind === 'exec' ? JSON.stringify(processOf(manifest, check.command)) : null,
    ],
    [join(folder, 'instance.nft'), instanceRules(manifest, place)],
    [join(folder, 'node.ip'), links.node],
    [join(folder, 'instance.ip'), links.instance],
    [join(folder, 'connections.nft'), connectionRules(place, restraint)],
    [join(folder, 'freezer.conf'), freezerText(name, false, places)],
    [join(folder, 'node-add.nft'), entries.add + flows.add],
    [join(folder, 'node-remove.nft'), entries.remove + flows.remove],
    [join(places.units, bundleUnit(sha256)), bundleText({ sha256, rootHash, dataBytes }, file, root)],
    [join(places.units, netUnit(id)), netText(id, place, folder)],
    [join(places.units, instanceUnit(id)), instanceText(id, sha256, manifest, folder, state, slice)],
    [join(places.units, checkUnit(id)), checkText(id, manifest, folder, slice)],
  ];
  for (const [path, text] of files)
    await (text === null ? rm(path, { force: true }) : writeFileAtomic(path, text, 0o644));
  const ports = portKeys(manifest.ports);
  const kept: InstanceRecord = {
    ...{ format: 1, name, version, sha256, slot: place.slot, ports, ...record },
    ...(secrets === null ? {} : { secrets: secrets.tag }),
    ...(manifest.health === null ? {} : { health: manifest.health }),
    ...(restraint === null ? {} : { restraint }),
    ...(slice === null ? {} : { limits: { cpu: manifest.limits.cpu, memory: manifest.limits.memory } }),
  };
  await writeFileAtomic(join(folder, 'instance.json'), JSON.stringify(kept));
}

/** After it was restrained so, or let go. @param restraint `unsure`: before that */
export async function noteRestraint(
  record: InstanceRecord,
  restraint: Restraint | 'unsure' | null,
  places: Pick<InstancePlaces, 'run'>,
): Promise<void> {
  const { restraint: _, unsure: __, ...rest } = record;
  const noted: InstanceRecord =
    restraint === 'unsure'
      ? { ...record, unsure: true }
      : { ...rest, ...(restraint === null ? {} : { restraint }) };
  await writeFileAtomic(join(instanceFolder(places, record.name), 'instance.json'), JSON.stringify(noted));
}

/** Remembers a version that could not take the place of the one that runs: it is not tried again at once. */
export async function noteTried(
  name: string,
  tried: NonNullable<InstanceRecord['tried']>,
  places: Pick<InstancePlaces, 'run'>,
): Promise<void> {
  const record = (await recordsIn(places)).find((one) => one.name === name);
  if (record === undefined) return;
  const path = join(instanceFolder(places, name), 'instance.json');
  await writeFileAtomic(path, JSON.stringify({ ...record, tried }));
}

/** After its units have ended. The record goes last. */
export async function removeInstance(name: string, places: InstancePlaces): Promise<void> {
  const id = instanceId(name);
  for (const unit of [instanceUnit(id), netUnit(id), checkUnit(id)])
    await rm(join(places.units, unit), { force: true });
  await rm(instanceFolder(places, name), { recursive: true, force: true });
}
