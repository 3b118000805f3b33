/**
 * Carries incidents on, by upkeep: each look asks the playbook what comes next, decides it, and only then gives the command. Whoever is
 * killed in between has used a try; the next look goes on from what was decided.
 */
import { BootwaveError, messageOf, whyText } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import type { DataPaths } from '../../base/paths.ts';
import { type Incident, isOver } from '../fleet/decisions/incidents.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { Profiles } from '../fleet/hardware/profiles.ts';
import type { NodeRecord } from '../fleet/record.ts';
import type { Policy } from '../fleet/site.ts';
import { isRegistered } from '../fleet/transitions.ts';
import { Book } from '../power/book.ts';
import { switchNode } from '../power/switch.ts';
import type { LinkPool } from '../transport/pool.ts';
import { unmoved } from '../upkeep/holders.ts';
import { keepNodes } from '../upkeep/nodes.ts';
import type { Breaker } from './breaker.ts';
import { fenceNode } from './fence.ts';
import { RECOVERY } from './held.ts';
import { decideIncident, recoveryAt } from './incidents.ts';
import { type Command, type Facts, failed, STAY, type Turn, turn, wipeTime } from './playbook.ts';
import type { Watch } from './watch.ts';

export type RecoveryParts = {
  fleet: Fleet;
  paths: Pick<DataPaths, 'power' | 'keys'>;
  /** Of this server: others carry on the incidents of theirs. */
  site: string;
  pool: Pick<LinkPool, 'request'>;
  watch: Pick<Watch, 'look' | 'wellSince' | 'isFailing'>;
  breaker: Breaker;
  log: Logger;
  signal: AbortSignal;
  now?: () => number;
  /** Milliseconds between two looks. */
  look?: number;
};

const LOOK = 2_000;
/** And between two looks at all nodes, for signals that no event brings; the most that one waits when these take long. */
const WATCH = 15_000;
/** Nodes of one process at once; BMCs have lanes of their own. */
const AT_ONCE = 64;
/** Milliseconds. */
const QUICK = 15_000;
/** A heartbeat that another server of the site took, milliseconds ago. */
const HEARD = 60_000;

/** Runs until the signal aborts. Never rejects. */
export function startRecovery(parts: RecoveryParts): Promise<void> {
  const { fleet, site, watch, log, signal, look = LOOK } = parts;
  let watched = Number.NEGATIVE_INFINITY;
  return keepNodes({
    redis: fleet.redis,
    name: recoveryAt(site),
    every: look,
    longest: WATCH,
    atOnce: AT_ONCE,
    log,
    signal,
    async find() {
      if (performance.now() - watched >= WATCH) {
        watched = performance.now();
        await watch.look();
      }
      return due(parts);
    },
    work: (record) => step(parts, record),
    async failed({ id, name }, error) {
      log.warn({ id, node: name, reason: messageOf(error) }, 'an incident waits');
      return look;
    },
  });
}

/** Nodes of this site for which something is to be done now. */
async function due(parts: RecoveryParts): Promise<NodeRecord[]> {
  const { fleet, site } = parts;
  const open = fleet.decisions.incidents.all.filter((one) => one.site === site && !isOver(one));
  if (open.length === 0) return [];
  const records = await fleet.nodes.getMany(open.map(({ node }) => node));
  const facts = await factsOf(parts, records);
  return records.filter(({ id }) => {
    const incident = fleet.decisions.incidents.of(id);
    const known = facts.get(id);
    return incident !== undefined && known !== undefined && turn(incident, known).told !== null;
  });
}

async function step(parts: RecoveryParts, { id, name }: NodeRecord): Promise<void> {
  const { fleet, log, now = Date.now } = parts;
  // It may have waited for its turn: what is wiped must not rest on what was true then.
  const record = await fleet.nodes.get(id);
  if (record === null) return;
  const facts = (await factsOf(parts, [record])).get(id)!;
  const by = { actor: RECOVERY, at: facts.now };
  let turned: Turn = STAY;
  const before = fleet.decisions.incidents.of(id);
  const isFence = (one: Incident, { told }: Turn) => one.road === 'broken' && told?.road === 'compromised';
  const isFenced = before !== undefined && isFence(before, turn(before, facts));
  const next = (known: Incident | undefined) => {
    turned = known === undefined ? STAY : turn(known, facts);
    // Something else has come in between: the next look has it.
    if (known !== undefined && isFence(known, turned) !== isFenced) turned = STAY;
    return turned.told;
  };
  const { incident } = isFenced
    ? await fenceNode(fleet, id, next, by)
    : await decideIncident(fleet, id, next, by);
  if (incident === undefined || turned.told === null) return;
  const { number, road, step: at, reason } = incident;
  log[at === 'person' ? 'warn' : 'info'](
    { id, node: name, incident: number, road, step: at, reason },
    'incident',
  );
  if (turned.command === null) return;
  try {
    await give(parts, record, turned.command, incident);
  } catch (error) {
    if (parts.signal.aborted) return;
    const why = whyText(error);
    const command = turned.command;
    log.warn({ id, node: name, incident: number, command, reason: why }, 'a command of an incident failed');
    const told = (known: Incident | undefined) =>
      known?.number === number && known.step === at ? failed(known, command, why, now()) : null;
    await decideIncident(fleet, id, told, { actor: RECOVERY, at: now() });
  }
}

async function give(
  parts: RecoveryParts,
  record: NodeRecord,
  command: Command,
  incident: Incident,
): Promise<void> {
  const { fleet, paths, pool, signal, now = Date.now } = parts;
  if (command !== 'restart') {
    const reason = `incident ${incident.number}: ${incident.signal}`;
    const wanted = { action: 'cycle' as const, network: command === 'network', reason };
    await switchNode({ fleet, paths, signal, by: { actor: RECOVERY, at: now() } }, record, wanted);
    return;
  }
  const ask = { signal, timeout: QUICK };
  const { result: status } = await pool.request(record.id, 'status', {}, ask);
  const { bootId } = status.running;
  if (status.order === null)
    throw new BootwaveError({ code: 'RECOVERY_NO_ORDER', what: 'it has no order, under which it restarts' });
  await pool.request(record.id, 'restart', { epoch: status.order.epoch, bootId }, ask);
}

/** What of its disks may be overwritten: which ones are ours is known by names that its inventory does not have, so the largest count. */
function bytesOf({ disks, inventory }: NodeRecord, { recovery }: Policy): number {
  const sizes = inventory.disks.map(({ size }) => size).toSorted((a, b) => b - a);
  return sizes.slice(0, recovery === 'wipe-all' ? sizes.length : disks.length).reduce((a, b) => a + b, 0);
}

async function factsOf(parts: RecoveryParts, records: readonly NodeRecord[]): Promise<Map<string, Facts>> {
  const { fleet, paths, site, watch, breaker, now = Date.now } = parts;
  const ids = records.map(({ id }) => id);
  const actOf = (id: string) =>
    fleet.decisions.incidents.of(id)?.road === 'compromised' ? ('wipe' as const) : ('repair' as const);
  const [bans, free, seen, { policy }, profiles] = await Promise.all([
    fleet.bans(),
    unmoved(fleet.redis, ids),
    Promise.all(ids.map((id) => fleet.heard.lastSeenOf(id))),
    fleet.sites.get(site),
    Profiles.read(fleet),
  ]);
  // Read only now: whoever decided meanwhile did so on no older ground.
  const { entries } = await new Book(paths).read();
  const at = now();
  return new Map(
    records.map((record, i) => {
      const { id, wanted, installedAt, changedAt } = record;
      // That it left the fleet ends its incident: what stands in Redis alone does not.
      const isForged = !isRegistered(record.state) && fleet.decisions.isMember(id);
      const state = isForged ? 'unreachable' : record.state;
      const onDisk = wanted.mode === 'installed';
      const elsewhere = state === 'healthy' && at - (seen[i] ?? 0) < HEARD ? changedAt : null;
      return [
        id,
        {
          ...{ now: at, state, onDisk, isWhole: !onDisk || installedAt !== null, recovery: policy.recovery },
          rescue: policy.rescue,
          shortfall: profiles.heldWhy(record),
          failing: watch.isFailing(id),
          wellSince: state === 'healthy' ? (watch.wellSince(id) ?? elsewhere) : null,
          banned: bans.banOf({ id })?.reason ?? null,
          hasBmc: entries.has(id),
          hasTpm: record.identity.ekDigest !== null,
          wipeTime: wipeTime(bytesOf(record, policy), fleet.decisions.incidents.of(id)?.disks?.read),
          busy: free.has(id) ? null : 'a rollout',
          stopped: breaker(actOf(id), record),
        },
      ];
    }),
  );
}
