/**
 * Root's part of a configuration: reads the state, takes the planned steps, reads again; and goes back when a step
 * fails.
 */
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as z from 'zod/mini';
import { BootwaveError, messageOf } from '../../../../base/error.ts';
import { writeFileAtomic } from '../../../../base/files.ts';
import {
  digestOf,
  type NodeConfiguration,
  readDocument,
} from '../../../../protocol/configuration/document.ts';
import { DROP_IN_NAMES, DROP_INS, type DropIn, planConfig, type Seen, type Step, spaced } from './plan.ts';

/** Where root works; tests put other places here. */
export type ConfigPlaces = {
  /** `/proc/sys` */
  sysctls: string;
  /** `/run`: tmpfs, so whatever stands there is gone after the next boot, as the kernel's values are. */
  run: string;
  /** Restarts a unit, and fails when it does not come up again; stops a unit whose conditions no longer hold. */
  restart(unit: string): Promise<void>;
};

/** What root remembers of this boot. */
const stateSchema = z.strictObject({
  format: z.literal(1),
  /** The document in force, base64; null: none. */
  applied: z.nullable(z.string()),
  torn: z.boolean(),
  boot: z.record(z.string(), z.string()),
});
type State = z.infer<typeof stateSchema>;

const FRESH: State = { format: 1, applied: null, torn: false, boot: {} };

const stateFile = ({ run }: ConfigPlaces) => join(run, 'bootwave-config/state.json');

export async function readState(places: ConfigPlaces): Promise<State> {
  const text = await readFile(stateFile(places), 'utf8').catch(absent);
  return text === null ? FRESH : stateSchema.parse(JSON.parse(text));
}

/**
 * Whether this kernel has every parameter that a document sets. Changes nothing.
 * @throws BootwaveError `CONFIG_UNSUPPORTED`, `CONFIG_MALFORMED`
 */
export async function checkConfig(places: ConfigPlaces, document: Buffer): Promise<void> {
  for (const key of Object.keys(readDocument(document).sysctls)) await readSysctl(places, key);
}

/**
 * Brings a configuration into force as a whole, or leaves the one in force as it was.
 * @param document null: no configuration, as after the boot
 * @returns number of things that were changed
 * @throws BootwaveError `CONFIG_NOT_APPLIED` with what failed, `CONFIG_UNSUPPORTED`, `CONFIG_MALFORMED`
 */
export async function applyConfig(places: ConfigPlaces, document: Buffer | null): Promise<number> {
  const wanted = document === null ? null : readDocument(document);
  if (document !== null) await checkConfig(places, document);
  const before = await readState(places);
  try {
    return await enforce(places, before, wanted, document);
  } catch (cause) {
    const why = messageOf(cause);
    let back = 'the configuration that was in force before is in force again';
    try {
      const earlier = before.applied === null ? null : Buffer.from(before.applied, 'base64');
      const now = await readState(places);
      await enforce(places, now, earlier === null ? null : readDocument(earlier), earlier);
    } catch (second) {
      back = `the way back failed as well: ${messageOf(second)}`;
    }
    throw new BootwaveError({
      code: 'CONFIG_NOT_APPLIED',
      what: `the configuration could not be applied: ${why}`,
      unchanged: back,
      next: 'correct it and publish it as a new version',
      cause,
    });
  }
}

async function enforce(
  places: ConfigPlaces,
  state: State,
  wanted: NodeConfiguration | null,
  document: Buffer | null,
): Promise<number> {
  const seen = await look(places, state, wanted);
  const steps = planConfig(seen, wanted);
  const boot = { ...seen.boot };
  for (const step of steps) if (step.do === 'sysctl') boot[step.key] ??= seen.sysctls[step.key]!;
  // Written before anything changes: after a crash in the middle the values from boot are still known.
  if (steps.length > 0) await writeState(places, { ...state, torn: true, boot });
  for (const step of steps) await take(places, step);
  const applied = document === null ? null : document.toString('base64');
  await writeState(places, { format: 1, applied, torn: false, boot });
  return steps.filter((step) => step.do !== 'restart').length;
}

async function look(places: ConfigPlaces, state: State, wanted: NodeConfiguration | null): Promise<Seen> {
  const sysctls: Record<string, string> = {};
  for (const key of new Set([...Object.keys(state.boot), ...Object.keys(wanted?.sysctls ?? {})]))
    sysctls[key] = await readSysctl(places, key);
  const files: Partial<Record<DropIn, string | null>> = {};
  for (const name of DROP_IN_NAMES)
    files[name] = await readFile(join(places.run, DROP_INS[name].path), 'utf8').catch(absent);
  return { sysctls, boot: state.boot, files: files as Seen['files'], torn: state.torn };
}

async function take(places: ConfigPlaces, step: Step): Promise<void> {
  if (step.do === 'restart') return places.restart(step.unit);
  if (step.do === 'sysctl') {
    const { key, value } = step;
    await writeFile(sysctlFile(places, key), `${value}\n`).catch((cause: NodeJS.ErrnoException) => {
      throw new Error(`the kernel does not take ${value} for ${key} (${cause.code ?? cause.message})`);
    });
    // The kernel silently cuts some values to what it accepts.
    const now = await readSysctl(places, key);
    if (spaced(now) !== spaced(value))
      throw new Error(`the kernel made ${spaced(now)} of ${value} for ${key}`);
    return;
  }
  const path = join(places.run, DROP_INS[step.name].path);
  if (step.text === null) return rm(path, { force: true });
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  await writeFileAtomic(path, step.text, 0o644);
  // The daemons that read it are not root, and the helper's umask would keep them from reading it.
  await chmod(path, 0o644);
}

/** The key is from a closed list, so it can name no other file. */
function sysctlFile({ sysctls }: ConfigPlaces, key: string): string {
  return join(sysctls, key.replaceAll('.', '/'));
}

async function readSysctl(places: ConfigPlaces, key: string): Promise<string> {
  const text = await readFile(sysctlFile(places, key), 'utf8').catch(absent);
  if (text !== null) return text.trim();
  throw new BootwaveError({
    code: 'CONFIG_UNSUPPORTED',
    what: `the kernel of this image has no parameter ${key}`,
    unchanged: 'the configuration in force stays in force',
    next: 'leave it out, or roll out an image that has it',
  });
}

async function writeState(places: ConfigPlaces, state: State): Promise<void> {
  const path = stateFile(places);
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  await writeFileAtomic(path, `${JSON.stringify(state)}\n`);
}

function absent(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null;
  throw error;
}

/** The value of `applied`, for callers that ask. */
export function inForce(state: State): { digest: string; document: string } | null {
  const { applied } = state;
  return applied === null ? null : { digest: digestOf(Buffer.from(applied, 'base64')), document: applied };
}
