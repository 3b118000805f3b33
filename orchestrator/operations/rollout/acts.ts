import { refusal } from '../../../base/error.ts';
import { publishedVersions } from '../../../image/build/manifest.ts';
import type { Fleet } from '../../fleet/fleet.ts';
import { type Silence, silences } from '../../fleet/listening.ts';
import { knownOperators } from '../../operators/known.ts';
import { peopleBehind } from '../../operators/people.ts';
import { readFloor, refuseSinking, setFloor, siteFloors } from '../../releases/floor.ts';
import type { OperatorEvent } from '../../rollout/event.ts';
import { ENDED } from '../../rollout/record.ts';
import { readChain } from '../../rollout/run/chain.ts';
import { disagreement } from '../../rollout/run/decided.ts';
import { DRIVEN } from '../../rollout/run/driver.ts';
import { forgive } from '../../rollout/run/forgive.ts';
import { eventOf, lastKey, type RolloutEvent, RolloutHistory } from '../../rollout/run/history.ts';
import { listRollouts, type RolloutSummary } from '../../rollout/run/list.ts';
import { operate } from '../../rollout/run/operate.ts';
import { type Progress, readProgress, readSetup, readState } from '../../rollout/run/stored.ts';
import { WAITING } from '../../rollout/run/waiting.ts';
import { waveOf } from '../../rollout/wave-name.ts';
import { Consents, recordConsent } from '../../signer/consents.ts';
import { signerFiles } from '../../signer/files.ts';
import { isHeld } from '../../upkeep/lease.ts';
import { mustNotBeLeftOut } from '../node/leave-out.ts';
import type { Acting } from '../operation.ts';

export type Rollout = { rollout: string };

/** All people who could hold the acting certificate; undefined: there is no certificate. */
export const personOf = async ({ identity, paths }: Acting) =>
  peopleBehind(identity.certificate?.serial, (await knownOperators(paths)).register);

export type Listed = {
  rollouts: RolloutSummary[];
  /** While one has not ended: sites of which nothing is heard. */
  silent: Silence[];
  /** Milliseconds since the epoch, by the server's clock. */
  now: number;
};

export async function list(_: object, { fleet, by }: Acting): Promise<Listed> {
  const rollouts = await listRollouts(fleet.redis);
  const isOpen = rollouts.some(({ state }) => !ENDED.includes(state));
  return { rollouts, silent: isOpen ? await silences(fleet, by.at) : [], now: by.at };
}

export async function show({ rollout: id }: Rollout, { fleet }: Acting) {
  const { setup, rollout, waves, nodes } = await readState(fleet.redis, id);
  const chain = await readChain(fleet.redis, id);
  const undecided = (await disagreement(fleet.redis, id))?.why ?? null;
  return { setup, rollout, waves: [...waves], nodes: [...nodes.values()], chain, undecided };
}

/** One look at a rollout under way. */
export type Look = {
  progress: Progress;
  /** What has happened since the previous look, oldest first. */
  events: RolloutEvent[];
  /** Where the next look begins. */
  after: string;
  /** An orchestrator is working on it, or nothing needs doing now. */
  driven: boolean;
};

/** @throws BootwaveError `ROLLOUT_UNKNOWN` */
export async function watch(
  { rollout: id, after }: Rollout & { after?: string | undefined },
  { fleet: { redis } }: Acting,
): Promise<Look> {
  const history = new RolloutHistory(redis, id, after ?? (await lastKey(redis)));
  // Events are read first: so the end of a rollout is not reported before the events that led to it.
  const events = after === undefined ? [] : await history.next();
  const progress: Progress = { ...(await readProgress(redis, id)), chain: await readChain(redis, id) };
  // What was written between the two, its last step with it.
  if (progress.rollout.endedAt !== null && after !== undefined) events.push(...(await history.next()));
  const { state } = progress.rollout;
  const work = state === 'waiting' ? WAITING : DRIVEN.includes(state) ? id : null;
  const driven = work === null || (await isHeld(redis, work));
  return { progress, events, after: history.after, driven };
}

/** Milliseconds by which the clocks of its author's machine and of Redis may differ. */
const SKEW = 3600_000;

/** States of a node that somebody may have to look at. */
const TROUBLE = ['failed', 'rolling-back', 'rolled-back', 'taken-back', 'needs-recovery', 'skipped'];

/** Everything that happened in a rollout, or in all rollouts to one node, oldest first. */
export async function history({ of, all }: { of: string; all: boolean }, { fleet }: Acting) {
  if (!/^ro-/.test(of)) return ofNode(fleet, of);
  const { setup } = await readSetup(fleet.redis, of);
  const from = String(Math.max(0, setup.createdAt - SKEW));
  const events = await new RolloutHistory(fleet.redis, of, from).next();
  return all ? events : remarkable(events);
}

async function ofNode(fleet: Fleet, word: string): Promise<RolloutEvent[]> {
  const { id, name } = await fleet.nodes.resolve(word);
  const names = new Map([[id, name]]);
  return (await fleet.audit.read({ node: id }))
    .filter(({ action, detail }) => detail?.rollout !== undefined || action === 'forgive')
    .map((entry) => eventOf(entry, names));
}

/** Without normal events: the rollout, its waves, and the nodes that had trouble or were postponed. */
function remarkable(events: readonly RolloutEvent[]): RolloutEvent[] {
  return events.filter(
    ({ what, to, why }) => what !== 'node' || TROUBLE.includes(to) || /^(tail|again): /.test(why),
  );
}

type Step = Rollout & { reason?: string | undefined };
type StepType = 'pause' | 'resume' | 'abort' | 'rollback';

const step =
  (type: StepType) =>
  ({ rollout, reason: why = `${type} by the operator` }: Step, { fleet, by }: Acting) => {
    const event: OperatorEvent = type === 'resume' ? { type, by: by.actor } : { type, by: by.actor, why };
    return operate(fleet.redis, rollout, event);
  };
export const steps = {
  pause: step('pause'),
  resume: step('resume'),
  abort: step('abort'),
  rollback: step('rollback'),
} satisfies Record<StepType, unknown>;

/** @throws BootwaveError `ROLLOUT_WAVE_UNKNOWN`, `ROLLOUT_UNKNOWN` */
async function waveNamed({ fleet }: Acting, rollout: string, word: string): Promise<number> {
  const { setup } = await readSetup(fleet.redis, rollout);
  return waveOf(setup, word);
}

export async function approve({ rollout, wave }: Rollout & { wave?: string | undefined }, acting: Acting) {
  const { fleet, by } = acting;
  const person = await personOf(acting);
  return operate(fleet.redis, rollout, {
    type: 'approve',
    by: by.actor,
    ...(person && { person }),
    ...(wave === undefined ? {} : { wave: await waveNamed(acting, rollout, wave) }),
  });
}

export async function promote(
  { rollout, wave, reason: why }: Rollout & { wave: string; reason: string },
  acting: Acting,
) {
  const { fleet, by } = acting;
  const index = await waveNamed(acting, rollout, wave);
  const person = await personOf(acting);
  return operate(fleet.redis, rollout, {
    type: 'promote',
    by: by.actor,
    ...(person && { person }),
    why,
    wave: index,
  });
}

type Skipping = Rollout & {
  node?: string | undefined;
  wave?: string | undefined;
  reason: string;
  undo: boolean;
};

/** @throws BootwaveError `ROLLOUT_SKIP_WHAT`, `ROLLOUT_WAVE_UNKNOWN` */
export async function skip({ rollout, node, wave: word, reason: why, undo }: Skipping, acting: Acting) {
  const {
    fleet: { redis },
    by: { actor: by },
  } = acting;
  if (word !== undefined && node === undefined) {
    const wave = await waveNamed(acting, rollout, word);
    return operate(
      redis,
      rollout,
      undo ? { type: 'include-wave', by, wave } : { type: 'skip-wave', by, why, wave },
    );
  }
  if (node !== undefined && word === undefined) {
    if (undo) await mustNotBeLeftOut(acting, rollout, node);
    return operate(redis, rollout, undo ? { type: 'include', by, node } : { type: 'skip', by, why, node });
  }
  throw refusal(
    'ROLLOUT_SKIP_WHAT',
    'either a node or a wave is to be skipped',
    'bootwave rollout skip ROLLOUT NODE, or bootwave rollout skip ROLLOUT --wave N',
  );
}

export async function forgiveNode(
  { node, version }: { node: string; version: string },
  { fleet, by }: Acting,
) {
  const record = await fleet.nodes.resolve(node);
  const why = await forgive(fleet.redis, record, version, by);
  return { node: record.id, name: record.name, version, why };
}

/** @throws BootwaveError `FLOOR_LOWER`, `FLOOR_UNKNOWN` */
export async function floor({ version, lower }: { version: string | null; lower: boolean }, acting: Acting) {
  const { fleet, paths, by } = acting;
  const published = await publishedVersions(paths.images);
  const { consents } = signerFiles(paths);
  // A database that lost the floor must not lower it.
  if (!lower) refuseSinking((await new Consents(consents).current()).floor, version);
  await setFloor(fleet.redis, version, by, { published, lower });
  await recordConsent(consents, { say: 'floor', version }, by);
  return floors({}, acting);
}

export async function floors(_: object, { fleet }: Acting) {
  return { fleet: await readFloor(fleet.redis), sites: Object.fromEntries(await siteFloors(fleet)) };
}
