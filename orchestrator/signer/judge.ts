/**
 * Whether an order may be signed, as a pure function of what is on this machine's own disk. Nothing here comes from
 * Redis.
 */
import { compareVersions } from '../../formats/version.ts';
import { ORDER_LIMITS, type Order, type Rescue, type Restraint } from '../../protocol/order.ts';
import { orderDigest, orderPayload } from '../../protocol/order-envelope.ts';
import type { Reservation } from '../../protocol/reservation.ts';
import { sliceOf } from '../../protocol/service/name.ts';
import { rescueOf } from '../fleet/decisions/incidents.ts';
import { lifeOf } from '../orders/issue.ts';
import { type ConfigGrounds, type Configured, checkConfig } from './configure.ts';
import type { Rules, WipeConsent } from './consents.ts';
import { checkIncident, type IncidentGrounds } from './incident.ts';
import type { Signed } from './ledger.ts';
import { checkMove, type MoveGrounds } from './move.ts';
import { checkServices, isNothing, type ServiceGrounds } from './services.ts';
import { unsigned } from './unsigned.ts';

export type SignerLimits = {
  /** Orders to wipe in an hour, of the whole fleet. */
  wipesPerHour: number;
  /** Nodes that got their first order within an hour. */
  newNodesPerHour: number;
  /** Nodes that ever got one. */
  nodes: number;
};
export const SIGNER_LIMITS: SignerLimits = { wipesPerHour: 60, newNodesPerHour: 20_000, nodes: 200_000 };

const HOUR = 3600_000;
/** Milliseconds that a consent to wipe waits for its installation, and is valid once that has begun. */
const WIPE_WORD = { waits: 7 * 24 * HOUR, holds: 24 * HOUR } as const;
/** Epochs that an order may skip: a database cannot use up a node's numbers at once. */
const MOST_SKIPPED = 1_000_000;

export type Grounds = MoveGrounds &
  IncidentGrounds &
  Pick<ConfigGrounds, 'configured'> &
  Pick<ServiceGrounds, 'served' | 'released' | 'now'> & {
    rules: Rules;
    /** Facts of the image that is published under the version in the order; null: none is. */
    facts: { sha256: string; size: number } | null;
    /** What was signed for this node last. */
    last: Signed | null;
    /** How many nodes ever got an order, and how many of them got their first within the last hour. */
    nodes: { all: number; fresh: number };
    /** Orders to wipe of the last month. */
    wipes: readonly Signed[];
    limits: SignerLimits;
  };

export type Verdict = {
  payload: Buffer;
  /** Must be in the ledger before the signature leaves; null: it is there already. */
  entry: Signed | null;
};

/** @throws BootwaveError `SIGNER_*` or `ORDER_*` */
export function judge(order: Order, grounds: Grounds): Verdict {
  const { last, rules, now } = grounds;
  const again = last !== null && last.epoch === order.epoch;
  // An order carries the floor, and what else was decided, of its first signature: the same bytes whenever it is asked for again.
  const floor = again ? last.floor : rules.floor;
  const restraints = again ? (last.restraints ?? []) : restraintsOf(order, grounds.decided);
  const reservations = again ? (last.reservations ?? []) : reservationsOf(order, grounds);
  const rescue = again ? (last.rescue ?? null) : rescueNow(order, grounds.decided, now);
  const { floor: _, restraints: __, reservations: ___, rescue: ____, ...asked } = order;
  const payload = orderPayload({
    ...asked,
    ...(floor === null ? {} : { floor }),
    ...(restraints.length === 0 ? {} : { restraints }),
    ...(reservations.length === 0 ? {} : { reservations }),
    ...(rescue === null ? {} : { rescue }),
  });
  const digest = orderDigest(payload);
  checkNode(order, grounds);
  checkTime(order, now);
  checkEpoch(order, digest, last);
  checkImage(order, grounds);
  if (order.config !== null && !rules.configs.has(order.config))
    throw unsigned(
      'SIGNER_CONFIG_UNKNOWN',
      `configuration ${order.config} was published by nobody on this machine`,
      "give 'bootwave config publish' once more, with the same file and version",
    );
  const incident = checkIncident(order, grounds);
  const { moved, configured, served } = incident === null ? checkContent(order, grounds) : keptBy(grounds);
  if (again) return { payload, entry: null };
  const wipe = incident === null ? wipeOf(order, grounds) : checkBudget(order.node, incident, grounds);
  const image = order.image?.version ?? null;
  const { node, epoch } = order;
  const entry = {
    ...{ node, epoch, digest, at: now, image, floor, wipe, moved, configured },
    ...(restraints.length === 0 ? {} : { restraints }),
    ...(reservations.length === 0 ? {} : { reservations }),
    ...(rescue === null ? {} : { rescue }),
  };
  return { payload, entry: isNothing(served) ? entry : { ...entry, served } };
}

function checkContent(order: Order, grounds: Grounds) {
  const moved = checkMove(order, grounds);
  const configured = checkConfig(order, { ...grounds, configs: grounds.rules.configs });
  checkWithdrawn(order, grounds, configured);
  return { moved, configured, served: checkServices(order, grounds) };
}

/** Of an order that only wipes: when the machine is let back in, it is to have what it had. */
function keptBy({ had: { version, since, fresh }, configured, served }: Grounds) {
  return { moved: { version, since, fresh }, configured: configured ?? undefined, served };
}

/** What an order that is signed now says of services that do harm. */
export const restraintsOf = (
  { node, services }: Pick<Order, 'node' | 'services'>,
  { restraints }: Pick<Grounds['decided'], 'restraints'>,
): Restraint[] =>
  restraints.on(
    node,
    services.map(({ name }) => name),
  );

/**
 * The reservations that an order gets which is signed now. An image that knows no reservations would refuse the whole order. So a
 * request that names any says only that the node knows them, and which they are is read here. A node whose last order had some knows
 * them, too.
 */
function reservationsOf(order: Order, { last, decided, now }: Grounds): Reservation[] {
  if (order.reservations === undefined && last?.reservations === undefined) return [];
  return decidedFor(order, decided, now);
}

/** Of the slices that have services on it. */
export const decidedFor = (
  { node, services }: Pick<Order, 'node' | 'services'>,
  { reservations, rollouts }: Pick<Grounds['decided'], 'reservations' | 'rollouts'>,
  now: number,
): Reservation[] =>
  reservations.on(node, new Set(services.flatMap(({ name }) => sliceOf(name) ?? [])), rollouts.slices, now);

export const rescueNow = (
  { node }: Pick<Order, 'node'>,
  { incidents }: Pick<Grounds['decided'], 'incidents'>,
  now: number,
): Rescue | null => rescueOf(incidents.of(node), now);

/** As a record's id is made (bootserver/enroll/node-id.ts): nothing else ever enrolled. */
const NODE_ID = /^(?:tpm|dev)-[0-9a-f]{64}$/;

/** The signer cannot know which nodes exist; it can check that there are not more than possible. */
function checkNode({ node }: Order, { last, nodes, limits }: Grounds): void {
  if (last !== null) return;
  if (!NODE_ID.test(node)) throw unsigned('SIGNER_NODE', `${node} is not the id of a node`);
  if (nodes.all < limits.nodes && nodes.fresh < limits.newNodesPerHour) return;
  throw unsigned(
    'SIGNER_NODES',
    `${nodes.fresh} nodes were given their first order within an hour, ${nodes.all} in all: no more are`,
    'it is tried again by itself; if you do not have so many nodes, find out who writes them into the database',
  );
}

function checkTime(order: Order, now: number): void {
  const life = order.expires - order.issuedAt;
  const most = lifeOf(order);
  if (order.issuedAt > now + ORDER_LIMITS.skew || order.expires <= now || life > most)
    throw unsigned(
      'SIGNER_TIME',
      `an order to ${order.node} may be issued now and live for ${most / HOUR} hours; this one is from ` +
        `${at(order.issuedAt)} to ${at(order.expires)}`,
      'compare the clock of this machine; otherwise find out who wrote that into the database',
    );
}

function checkEpoch(order: Order, digest: string, last: Signed | null): void {
  const known = last?.epoch ?? 0;
  if (order.epoch < known)
    throw unsigned('SIGNER_EPOCH_OLD', `epoch ${known} was signed for ${order.node}, this is ${order.epoch}`);
  if (order.epoch > known + MOST_SKIPPED)
    throw unsigned('SIGNER_EPOCH_JUMP', `epoch ${order.epoch} of ${order.node} is far above ${known}`);
  if (last !== null && order.epoch === known && digest !== last.digest)
    throw unsigned('SIGNER_EPOCH_REUSED', `epoch ${known} of ${order.node} was signed for another order`);
}

function checkImage({ node, image }: Order, { facts, rules, last }: Grounds): void {
  if (image === null) return;
  const { version } = image;
  if (facts === null)
    throw unsigned('SIGNER_IMAGE_UNKNOWN', `no image of version ${version} is published on this machine`);
  if (facts.sha256 !== image.sha256 || facts.size !== image.size)
    throw unsigned(
      'SIGNER_IMAGE_FACTS',
      `digest or size in the order to ${node} are not those of the published image ${version}`,
    );
  if (rules.floor !== null && compareVersions(version, rules.floor) < 0)
    throw unsigned(
      'SIGNER_BELOW_FLOOR',
      `image ${version} is older than the release floor ${rules.floor}`,
      'bring the node a newer image',
    );
  // A node that already had it keeps it: its other orders need an image, too.
  if (rules.withdrawn.has(version) && last?.image !== version)
    throw unsigned(
      'SIGNER_IMAGE_WITHDRAWN',
      `image ${version} is withdrawn: no node is moved to it`,
      `'bootwave image reinstate ${version}', if it is to be given out again`,
    );
}

/** A node that has it, or had it before what it is taken back from, keeps it: nothing worse comes of that. */
function checkWithdrawn(
  { config }: Order,
  { rules, configured: had, decided }: Grounds,
  configured: Configured,
): void {
  const version = config === null ? undefined : rules.configs.get(config);
  if (version === undefined || !rules.withdrawnConfigs.has(version)) return;
  const isBack = configured.back === config;
  // Of a node that another version of this signer knew it is not known what it has: nothing brings it there now.
  const isOld = had === null && decided.rollouts.configuring(version).length === 0;
  if (config === had?.now || config === had?.back || isBack || isOld) return;
  throw unsigned(
    'SIGNER_CONFIG_WITHDRAWN',
    `configuration ${version} is withdrawn: no node is brought to it`,
    `'bootwave config reinstate ${version}', if it is to be given out again`,
  );
}

function wipeOf({ node, wipe }: Order, grounds: Grounds): string | null {
  if (!wipe) return null;
  const { rules, wipes, now } = grounds;
  const word = wipeConsent(node, rules, wipes, now);
  if (word === null)
    throw unsigned(
      'SIGNER_WIPE_UNSAID',
      `nobody has said on this machine that the disk of ${node} may be wiped, or too long ago`,
      `'bootwave node set NODE --mode installed --wipe' says it`,
    );
  return checkBudget(node, word.id, grounds);
}

/** @param wipe under which the ledger has it: the same one is not counted again */
function checkBudget(node: string, wipe: string, { wipes, now, limits }: Grounds): string {
  const all = wipes.filter(({ at }) => at > now - HOUR);
  if (all.some((one) => one.node === node && one.wipe === wipe)) return wipe;
  const recent = new Set(all.map((one) => `${one.node} ${one.wipe}`)).size;
  if (recent >= limits.wipesPerHour)
    throw unsigned(
      'SIGNER_WIPE_BUDGET',
      `${recent} disks were given up within the last hour, and no more than ${limits.wipesPerHour} may be`,
      'it is tried again by itself; look whether all of these are meant',
    );
  return wipe;
}

/** The consent to wipe that is valid for a node now. */
export function wipeConsent(
  node: string,
  rules: Rules,
  wipes: readonly Signed[],
  now: number,
): WipeConsent | null {
  const word = rules.wipes.get(node);
  if (word === undefined) return null;
  const begun = wipes.find((one) => one.wipe === word.id);
  const end = begun === undefined ? word.at + WIPE_WORD.waits : begun.at + WIPE_WORD.holds;
  return now < end ? word : null;
}

function at(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? `${ms} ms` : date.toISOString();
}
