/** What an orchestrator does beside serving boots: installs nodes and carries rollouts out, over its links to the nodes. */
import { readFile } from 'node:fs/promises';
import { BootwaveError, messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import type { DataPaths } from '../../base/paths.ts';
import { keyLayout } from '../../keys/layout.ts';
import { startConfigKeeper } from '../config/keep.ts';
import { archiveAudit, knownOf } from '../fleet/audit/archive.ts';
import { startSealer } from '../fleet/audit/sealer.ts';
import { SealFile } from '../fleet/audit/seals.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { HabitFiles } from '../flows/habit-files.ts';
import { startFlowKeeper } from '../flows/keep.ts';
import { HabitKeeper } from '../flows/keep-habits.ts';
import { FlowStore } from '../flows/store.ts';
import { startInstalls } from '../install/start.ts';
import { Adviser, advised } from '../mirrors/advise.ts';
import { keepLearning } from '../orders/learn.ts';
import { startPower } from '../power/keep.ts';
import { SEEN_TIMES } from '../power/seen.ts';
import type { NodeNetwork } from '../power/weak.ts';
import type { Breaker } from '../recovery/breaker.ts';
import { startDrills } from '../recovery/keep-drills.ts';
import { startEvidenceKeeper } from '../recovery/keep-evidence.ts';
import { startPlans } from '../recovery/keep-plans.ts';
import { startRescueKeeper } from '../recovery/keep-rescue.ts';
import { startRecovery } from '../recovery/run.ts';
import type { Watch } from '../recovery/watch.ts';
import { loopbackOnly, type Rehearsal } from '../rehearsal/marker.ts';
import { startRestraintKeeper } from '../restraints/keep.ts';
import { publishedImages } from '../rollout/run/facts.ts';
import { startRollouts } from '../rollout/run/start.ts';
import { targetsOf } from '../rollout/run/targets.ts';
import { keepSigner } from '../signer/child.ts';
import { SignerClient } from '../signer/client.ts';
import { signerFiles } from '../signer/files.ts';
import { startReservationKeeper } from '../slices/reservations/keep.ts';
import { linkFailure } from '../transport/errors.ts';
import { LinkPool } from '../transport/pool.ts';
import { startUsageKeeper } from '../usage/keep.ts';

export type OrchestrateOptions = {
  paths: DataPaths;
  /** Null: real machines. */
  rehearsal: Rehearsal | null;
  fleet: Fleet;
  /** That machines of this server boot at. */
  site: string;
  /** What this server sees of its nodes. */
  watch: Watch;
  breaker: Breaker;
  /** Version of the newest published image; null: none. */
  newest(): Promise<string | null>;
  /** On which nodes boot. */
  networks(): readonly NodeNetwork[];
  /** Milliseconds without a heartbeat after which a node that was switched off counts as off. */
  silence: number;
  log: Logger;
  signal: AbortSignal;
};

/** Links that fail for these reasons are caused by an attack or a mistake, never by the network. */
const AUDITED = new Set(['LINK_HOST_KEY', 'LINK_WRONG_NODE']);
/** Milliseconds within which one node's failures are logged once. */
const QUIET = 3600_000;

export type Orchestrating = {
  done: Promise<void>;
  /** Gives up the connection to a node: it has restarted, and its old one only looks open. */
  restarted(id: string): void;
  /** Cuts the connection to a banned node. */
  banned(id: string): void;
  /** Its links to the nodes. */
  links: Pick<LinkPool, 'request'>;
};

/**
 * @returns `done` resolves when all of it has ended, after the signal fired
 * @throws BootwaveError `ORDER_KEY_MISSING`, `ORDER_KEY_FILE`, `SIGNER_*`, `KEYS_MISSING`
 */
export async function orchestrate(options: OrchestrateOptions): Promise<Orchestrating> {
  const { paths, rehearsal, fleet, site, watch, breaker, networks, log, signal } = options;
  const privateKey = await readFile(keyLayout(paths.keys).ssh.key, 'utf8').catch((cause: unknown) => {
    throw new BootwaveError({
      code: 'KEYS_MISSING',
      what: `the SSH key of the orchestrator cannot be read: ${messageOf(cause)}`,
      unchanged: 'nothing was started',
      next: "run 'bootwave keys init'; it makes only what is missing",
      cause,
    });
  });
  const signing = await keepSigner({ paths, log, signal });
  const signer = new SignerClient(signerFiles(paths).socket);
  const noted = new Map<string, number>();
  const links = new LinkPool({
    privateKey,
    resolve: rehearsal === null ? targetsOf(fleet) : loopbackOnly(targetsOf(fleet, rehearsal.port)),
    signal,
    onFailure(id, { code, what }) {
      const now = performance.now();
      if (!AUDITED.has(code) || now - (noted.get(id) ?? Number.NEGATIVE_INFINITY) < QUIET) return;
      noted.set(id, now);
      log.warn({ id, code }, what);
      const entry = {
        at: Date.now(),
        actor: 'orchestrator',
        node: id,
        action: 'refused',
        reason: `${code}: ${what}`,
      };
      fleet.audit.append(entry).catch((error) => log.error({ reason: messageOf(error) }, 'not audited'));
    },
  });
  const pool = advised(links, new Adviser({ fleet, pool: links, log, signal }));
  const published = async () => ({
    images: (await publishedImages(paths.images)).images,
    newest: await options.newest(),
  });
  const rollouts = startRollouts({ redis: fleet.redis, paths, fleet, pool, signer, log, signal });
  const installs = startInstalls({ fleet, pool, signer, published, log, signal });
  const configs = startConfigKeeper({ fleet, pool, signer, log, signal });
  const restraints = startRestraintKeeper({ fleet, pool, signer, log, signal });
  const rescues = startRescueKeeper({ fleet, pool, signer, log, signal });
  const reservations = startReservationKeeper({ fleet, pool, signer, log, signal });
  const times = { silence: Math.max(options.silence, SEEN_TIMES.silence) };
  const power = startPower({ paths, fleet, networks, times, log, signal });
  const recovery = startRecovery({ fleet, paths, site, pool, watch, breaker, log, signal });
  const collecting = startEvidenceKeeper({ fleet, folder: paths.evidence, site, log, signal });
  const plans = startPlans({ fleet, log, signal });
  const drills = startDrills({ fleet, paths, log, signal });
  const usage = startUsageKeeper({ fleet, pool, log, signal });
  const habits = new HabitKeeper({ fleet, files: new HabitFiles(paths.flows), log });
  const flows = startFlowKeeper({ fleet, pool, store: new FlowStore(paths.flows), habits, log, signal });
  const file = new SealFile(paths);
  const learning = keepLearning({ fleet, signer, log, signal });
  const seals = startSealer({
    ...{ audit: fleet.audit, file, log, signal },
    known: () => knownOf(fleet, paths.keys),
    sealed: () => archiveAudit({ fleet, seals: file, folder: file.archive, at: Date.now() }),
  });
  return {
    done: Promise.allSettled([
      rollouts.done,
      installs,
      configs,
      restraints,
      rescues,
      reservations,
      learning,
      power,
      recovery,
      collecting,
      plans,
      drills,
      usage,
      flows,
      seals,
    ]).then(async () => {
      signer.close();
      await Promise.all([links.close(), signing.done]);
    }),
    links: pool,
    restarted: (id) => pool.drop(id),
    banned: (id) => pool.drop(id, linkFailure('LINK_CLOSED', `${id} is banned`)),
  };
}
