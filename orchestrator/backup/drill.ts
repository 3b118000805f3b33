/**
 * A backup restored beside everything, looked at, served where nobody is reached, and thrown away: whether the day on which it is
 * needed would end well. Nothing of the running fleet is touched.
 */
import { lstat, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { refusal, whyText } from '../../base/error.ts';
import { exists } from '../../base/files.ts';
import { type DataPaths, dataPaths } from '../../base/paths.ts';
import { knownOf } from '../fleet/audit/archive.ts';
import { SealFile } from '../fleet/audit/seals.ts';
import { verifyAudit } from '../fleet/audit/verify.ts';
import { openFleet } from '../operators/bans-of.ts';
import type { Report } from '../recovery/report.ts';
import { connect } from '../redis/connect.ts';
import { FileLock } from '../redis/lock.ts';
import { Consents } from '../signer/consents.ts';
import { signerFiles } from '../signer/files.ts';
import { PARTIAL } from './contents.ts';
import { holesOf } from './holes.ts';
import { fleetOf } from './manifest.ts';
import { endRedis, type Restored, type RestoreOptions, restore } from './restore.ts';
import { linesOf } from './survivors.ts';

export type RestoreDrill = Pick<RestoreOptions, 'from' | 'identity' | 'fleet' | 'after' | 'log' | 'by'> & {
  /** Of this machine: if its fleet is that of the backup, what it knows is compared. Nothing is written there. */
  paths: DataPaths;
  /** What else is looked at. @returns what is wrong */
  look(paths: DataPaths): Promise<string[]>;
  /** Has a server come up on it that reaches nobody. @returns how many nodes it shows @throws what kept it from that */
  serve(paths: DataPaths): Promise<number>;
  now(): number;
};

/** Lines of these are compared: they only grow, and each forbids or allows something. */
const GROWS = ['bans.log', 'signer/words.jsonl'] as const;
const LOCK = 'drill.lock';

/**
 * What is wrong with the backup is in the report.
 * @throws BootwaveError `DRILL_RUNNING`, `DRILL_SCRATCH`: nothing was restored
 */
export async function drillRestore(options: RestoreDrill): Promise<Report> {
  const { root } = options.paths;
  // Where a restore would be, and where nobody but the owner may write.
  const scratch = `${root}.drill`;
  await mustBeOurs(scratch);
  await mkdir(scratch, { mode: 0o700, recursive: true });
  const lock = await FileLock.open(join(scratch, LOCK));
  try {
    if (!(await lock.exclusiveNow()))
      throw refusal('DRILL_RUNNING', `another drill works in ${scratch}`, 'wait until it has ended');
    // One that was killed has left the keys of the fleet there.
    await clear(scratch);
    try {
      return await drilled(options, dataPaths(join(scratch, 'data')));
    } finally {
      await clear(scratch);
      await rm(scratch, { recursive: true });
    }
  } finally {
    await lock.close();
  }
}

async function mustBeOurs(scratch: string): Promise<void> {
  const there = await lstat(scratch).catch(() => null);
  if (there === null) return;
  const isOurs = there.isDirectory() && there.uid === process.getuid?.() && (there.mode & 0o077) === 0;
  if (isOurs && (await exists(join(scratch, LOCK)))) return;
  throw refusal(
    'DRILL_SCRATCH',
    `${scratch} is there, and no drill made it`,
    'move it away: a drill removes all that is in it',
  );
}

async function clear(scratch: string): Promise<void> {
  const data = join(scratch, 'data');
  for (const root of [data, join(data, PARTIAL, 'data')]) await endRedis(dataPaths(root));
  await rm(data, { recursive: true, force: true });
}

async function drilled(options: RestoreDrill, paths: DataPaths): Promise<Report> {
  const { from, identity, fleet, after, by, log, look, serve, now } = options;
  const startedAt = now();
  const report: Report = {
    ...{ kind: 'restore', site: null, of: from.slice(-200), startedAt, endedAt: startedAt },
    ...{ steps: [], fault: null, facts: [] },
  };
  const step = async <T>(name: string, work: Promise<T>): Promise<T> => {
    const began = performance.now();
    try {
      return await work;
    } finally {
      report.steps.push([name, Math.round(performance.now() - began)]);
    }
  };
  try {
    const wanted: RestoreOptions = { from, identity, fleet, survivors: [], after, by, log, paths };
    const restored = await step('restored', restore(wanted));
    report.of = `${restored.host} as of ${new Date(restored.began).toISOString()}`;
    const wrong = await step('checked', checked(options, paths, restored, report.facts));
    const nodes = await step('served', serve(paths));
    if (nodes !== restored.nodes)
      wrong.push(`the server that came up on it shows ${nodes} nodes of ${restored.nodes}`);
    wrong.push(...(await look(paths)));
    if (wrong.length > 0) report.fault = wrong.join('; ').slice(0, 1000);
  } catch (error) {
    report.fault = whyText(error).slice(0, 1000);
  }
  return { ...report, endedAt: now() };
}

/** @returns what is wrong */
async function checked(
  { paths: ours, fleet: number, log, now }: RestoreDrill,
  paths: DataPaths,
  { nodes, images }: Restored,
  facts: string[],
): Promise<string[]> {
  const wrong: string[] = [];
  const connection = await connect(paths, { url: '', log });
  try {
    const { fleet, bans } = await openFleet(paths, connection.redis, log);
    const known = await knownOf(fleet, paths.keys);
    const { fault, entries } = await verifyAudit(fleet.audit, await new SealFile(paths).read(), now(), known);
    if (fault !== null) wrong.push(`its history is not whole: ${fault.what}`);
    const { floor, withdrawn } = await new Consents(signerFiles(paths).consents).current();
    facts.push(
      `${nodes} nodes, ${bans.set.bans.length} bans, ${entries} entries of the history that were checked`,
      `release floor ${floor ?? 'none'}, ${withdrawn.size} images withdrawn`,
    );
  } finally {
    await connection.close();
  }
  if (images.length > 0) facts.push(`${images.length} images without their files`);
  if ((await fleetOf(ours.keys).catch(() => null)) !== number) {
    facts.push('this machine does not have the fleet: nothing was compared with it');
    return wrong;
  }
  for (const name of GROWS) {
    const [there, here] = await Promise.all([paths, ours].map(({ root }) => linesOf(join(root, name))));
    if (here!.length === 0) continue;
    const { lost, since } = holesOf(there!, here!);
    if (lost > 0) wrong.push(`${lost} lines of ${name} from before it began are not in it`);
    facts.push(`${name}: ${since} lines came later, and would be lost`);
  }
  return wrong;
}
