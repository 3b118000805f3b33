/** What a plan is made from: the fleet's records and the published images. */
import { BootwaveError } from '../../../base/error.ts';
import { compareVersions } from '../../../formats/version.ts';
import { type Manifest, publishedVersions, readManifest } from '../../../image/build/manifest.ts';
import type { OrderedService } from '../../../protocol/order.ts';
import { shownName } from '../../../protocol/service/name.ts';
import { contentOf, listConfigs } from '../../config/store.ts';
import { heldWhy } from '../../fleet/events/hold.ts';
import { pinOf } from '../../fleet/events/pin.ts';
import type { Fleet } from '../../fleet/fleet.ts';
import { Profiles } from '../../fleet/hardware/profiles.ts';
import { KEYS } from '../../fleet/keys.ts';
import type { NodeRecord } from '../../fleet/record.ts';
import { readIssued } from '../../orders/issued.ts';
import { readFloor, siteFloors } from '../../releases/floor.ts';
import type { ImageFacts } from '../../releases/published.ts';
import { HOLDERS } from '../../upkeep/holders.ts';
import type { PlanNode } from '../node.ts';
import type { Target } from '../place.ts';
import type { Place, Plan, PlanFacts } from '../plan.ts';
import { shownVersion, versionsIn } from '../services.ts';
import type { Spec } from '../spec.ts';
import type { VersionFacts } from '../versions.ts';
import { readPardons } from './forgive.ts';
import { ROLLOUT_KEYS } from './keys.ts';
import type { ServiceFacts } from './service-facts.ts';
import { stateByHeartbeat } from './updating.ts';

/** Every published image as plans and orders need it. */
export async function publishedImages(folder: string): Promise<{ facts: PlanFacts; images: ImageFacts }> {
  const manifests = await Promise.all(
    (await publishedVersions(folder)).map((version) => readManifest(folder, version)),
  );
  return {
    facts: {
      graph: {
        versions: manifests.map((manifest) => versionFacts(manifest, manifests)),
        floor: null,
        compare: compareVersions,
      },
      configs: [],
    },
    images: Object.fromEntries(manifests.map(({ version, sha256, size }) => [version, { sha256, size }])),
  };
}

function versionFacts(
  { version, pcr11, secureBootLists: lists, barrier, minSource }: Manifest,
  all: readonly Manifest[],
): VersionFacts {
  const by = all.find(({ secureBootLists }) => secureBootLists?.revokes.includes(version) === true);
  return {
    version,
    pcr11: [pcr11],
    ...(barrier === undefined ? {} : { barrier }),
    ...(minSource === undefined ? {} : { minSource }),
    ...(lists === undefined ? {} : { revokes: lists.revokes }),
    // Nodes that have that image's lists would not start it, and the lists cannot be undone.
    ...(by === undefined ? {} : { deadEnd: `${by.version} revokes it at the firmware` }),
  };
}

const WAY_OUT = "('bootwave image reinstate' takes that back)";

/**
 * What a plan for this spec needs to know: images, or in the rollout of a configuration its documents.
 * @param said people's decisions on this machine: images and configurations to which no node may go, and who may approve
 */
export async function publishedFor(
  fleet: Fleet,
  folder: string,
  spec: Pick<Spec, 'config' | 'services'>,
  said: {
    services?: ServiceFacts;
    withdrawn?: ReadonlySet<string>;
    withdrawnConfigs?: ReadonlyMap<string, string>;
    people?: readonly string[];
  } = {},
): Promise<{ facts: PlanFacts; images: ImageFacts }> {
  const published = await publishedImages(folder);
  const { graph } = published.facts;
  graph.floor = await readFloor(fleet.redis);
  // The signer signs no order for these: better refused here than by every node.
  graph.versions = graph.versions.map((facts) =>
    said.withdrawn?.has(facts.version) ? { ...facts, deadEnd: `it is withdrawn ${WAY_OUT}` } : facts,
  );
  if (said.people !== undefined) published.facts.people = said.people;
  if (spec.services !== undefined) {
    const { needs = {}, withdrawnServices, bundles = {} } = said.services ?? {};
    return {
      facts: { ...published.facts, needs, ...(withdrawnServices && { withdrawnServices }) },
      images: bundles,
    };
  }
  if (spec.config === undefined) return published;
  const configs = await listConfigs(fleet.redis);
  return {
    facts: {
      ...published.facts,
      configs: configs.map(({ version }) => version),
      ...(said.withdrawnConfigs === undefined ? {} : { withdrawnConfigs: said.withdrawnConfigs }),
    },
    images: Object.fromEntries(
      configs.map(({ version, sha256, document }) => [
        version,
        { sha256, size: Buffer.byteLength(document, 'utf8') },
      ]),
    ),
  };
}

/**
 * @param versions those whose refusals are looked up
 * @param some only these nodes, which costs no more than they do; by default the whole fleet
 */
export async function planNodes(
  fleet: Fleet,
  versions: readonly string[],
  some?: readonly string[],
): Promise<PlanNode[]> {
  const { redis } = fleet;
  const now = Date.now();
  const ids = [...(some ?? (await fleet.nodes.ids()))].sort();
  if (ids.length === 0) return [];
  const fields = async (key: string): Promise<Record<string, string | null>> => {
    if (some === undefined) return redis.hgetall(key);
    const values = await redis.hmget(key, ...ids);
    return Object.fromEntries(ids.map((id, i) => [id, values[i] ?? null]));
  };
  const [records, seen, holders, issued, configs, pardons, floors, profiles, refusers] = await Promise.all([
    fleet.nodes.getMany(ids),
    some === undefined ? fleet.heard.lastSeen() : seenOf(fleet, ids),
    fields(HOLDERS),
    readIssued(redis, ids),
    listConfigs(redis),
    readPardons(redis),
    siteFloors(fleet),
    Profiles.read(fleet),
    Promise.all(
      versions.map(async (version) => ({ version, by: await fields(ROLLOUT_KEYS.refusers(version)) })),
    ),
  ]);
  // Read once each: a fleet has few configurations and many nodes.
  const byDigest = new Map(configs.map((config) => [config.sha256, contentOf(config)]));
  return records.flatMap((record): PlanNode[] => {
    // A refused machine is no member and never was; plans have no state for it.
    if (record.state === 'rejected') return [];
    const holder = holders[record.id] ?? null;
    const digest = issued.get(record.id)?.order.config ?? null;
    const config = digest === null ? undefined : byDigest.get(digest);
    return [
      {
        ...recorded(record),
        ...servingOf(issued.get(record.id)?.order.services ?? []),
        // Its last order; once it is asked, its own report shows whether it followed it.
        config: digest === null ? null : (config?.version ?? `sha256:${digest.slice(0, 12)}`),
        // Set for this node, so it wins over what its configuration says for many.
        labels: { ...config?.labels, ...record.labels },
        // Released by its rollout, but not settled yet: its heartbeats show what it will be.
        state: record.state === 'updating' && holder === null ? stateByHeartbeat(record) : record.state,
        lastSeen: seen.get(record.id) ?? null,
        failedVersions: refusers.flatMap(({ version, by }) => {
          const why = by[record.id];
          if (why === undefined || why === null || pardons.get(record.id)?.includes(version)) return [];
          return [{ version, why }];
        }),
        floor: floors.get(record.site) ?? null,
        epoch: issued.get(record.id)?.order.epoch ?? 0,
        held: heldWhy(record, now),
        shortfall: profiles.heldWhy(record),
        pinned: pinOf(record, now),
        rollout: holder,
      },
    ];
  });
}

async function seenOf({ redis }: Fleet, ids: readonly string[]): Promise<Map<string, number>> {
  const scores = await redis.zmscore(KEYS.seen, ...ids);
  return new Map(ids.flatMap((id, i) => (scores[i] == null ? [] : [[id, Number(scores[i])]])));
}

/** As it was ordered: once the node is asked, its own report shows whether it followed. */
export function servingOf(
  services: readonly OrderedService[],
): Required<Pick<PlanNode, 'services' | 'serving'>> {
  return {
    services: services.map(({ name }) => shownName(name)),
    serving: Object.fromEntries(services.map(({ name, ...bundle }) => [name, bundle])),
  };
}

function recorded(record: NodeRecord) {
  const { inventory, observed, wanted } = record;
  return {
    id: record.id,
    name: record.name,
    site: record.site,
    rack: record.rack,
    role: record.role,
    hardware: {
      ...{ manufacturer: inventory.manufacturer, product: inventory.product, memory: inventory.memory },
      threads: inventory.cpu.threads,
      // Every image is made for it (image/build).
      architecture: 'x64',
    },
    firmware: inventory.firmware.kind,
    tpm: inventory.tpm !== null,
    mode: wanted.mode,
    running: observed.image,
    config: null,
    wanted: wanted.image,
    bootId: observed.bootId,
  };
}

/** What the orders of one node may have to name. */
export function onTheWay({ of }: Target, { from, hops }: Pick<Place, 'from' | 'hops'>): string[] {
  const texts = from === null ? hops : [from, ...hops];
  return of === 'service' ? texts.flatMap(versionsIn) : texts;
}

/**
 * The images (or configurations, or services) that the orders of a plan may have to name, the way back included: all that are
 * published, because nodes that join later may come from any of them.
 * @throws BootwaveError `ROLLOUT_NO_WAY_BACK` when a node runs one that is not published any more
 */
export function imagesOf(plan: Plan, images: ImageFacts): ImageFacts {
  for (const { places } of plan.waves) {
    for (const place of places) {
      const { name } = place;
      for (const version of onTheWay(plan.target, place)) {
        if (images[version] === undefined) {
          throw new BootwaveError({
            code: 'ROLLOUT_NO_WAY_BACK',
            what: `node ${name} runs ${shownVersion(version)}, which is not published: it could not be taken back to it`,
            unchanged: 'nothing was started',
            next: `publish ${shownVersion(version)} again, or leave such nodes out ("nodes" in the spec)`,
          });
        }
      }
    }
  }
  return images;
}
