/**
 * Gives instances of slices what is reserved for them, without restarting them: what is due now at once, what is to come by timers
 * of systemd. What all instances of a slice get together is what is reserved, each by what its manifest asks for.
 */
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../../../base/error.ts';
import { writeFileAtomic } from '../../../../base/files.ts';
import { jsonIn } from '../../../../base/json.ts';
import type { RunResult } from '../../../../base/run.ts';
import { instanceId, instanceUnit } from '../../../../protocol/agent/units.ts';
import type { Order } from '../../../../protocol/order.ts';
import {
  changesAfter,
  type Extra,
  extraAt,
  type Share,
  shareSchema,
  type Window,
} from '../../../../protocol/reservation.ts';
import { sliceOf } from '../../../../protocol/service/name.ts';
import { type InstancePlaces, type InstanceRecord, instanceFolder } from './instance.ts';
import { changeTexts, dueOf, type Limits, markText, setLimits } from './reserve-units.ts';

type Places = Pick<InstancePlaces, 'run' | 'units'> & {
  systemctl(...args: string[]): Promise<RunResult>;
  /** Milliseconds since the epoch. */
  now(): number;
};
type Reserving = Pick<InstanceRecord, 'name' | 'limits'>;

/** Milliseconds after which the unit of a change that was due is taken away: it may be at its work until then. */
const LEFT = 60_000;

/** Reservations of a slice that have timers, each for its beginning and its end: the others get theirs when their turn comes. */
const TIMED = 4;

const markFile = (places: Pick<InstancePlaces, 'run'>, name: string): string =>
  join(instanceFolder(places, name), 'share.json');

/** What was put in force for an instance last; null: nothing but its manifest ever was. */
export async function markOf(name: string, places: Pick<InstancePlaces, 'run'>): Promise<Share | null> {
  const text = await readFile(markFile(places, name), 'utf8').catch(() => '');
  return shareSchema.safeParse(jsonIn(text)).data ?? null;
}

/** Before its unit is written anew, or goes: what was set for it would hold for the next one of its name. */
export async function forgetReserved(name: string, places: Pick<Places, 'run' | 'systemctl'>): Promise<void> {
  const file = markFile(places, name);
  if ((await readFile(file, 'utf8').catch(() => null)) === null) return;
  await places.systemctl('revert', instanceUnit(instanceId(name)));
  await rm(file, { force: true });
}

/** @returns by name what an instance may take with this much more for all of its slice; a part of it is never more than the whole */
export function limitsWith(extra: Extra, all: readonly Reserving[]): Map<string, Limits> {
  const sum = (part: keyof Extra) => all.reduce((total, { limits }) => total + (limits?.[part] ?? 0), 0);
  const [cpu, memory] = [sum('cpu'), sum('memory')];
  const part = (more: number, own: number, whole: number) =>
    own + Number((BigInt(more) * BigInt(own)) / BigInt(Math.max(1, whole)));
  return new Map(
    all.flatMap(({ name, limits }) =>
      limits === undefined
        ? []
        : [
            [
              name,
              {
                cpu: part(extra.cpu, limits.cpu, cpu),
                memory: part(extra.memory, limits.memory, memory),
              },
            ] as const,
          ],
    ),
  );
}

/**
 * One that fails does not keep the others from it; it is tried again at the next look.
 * @returns by name what went wrong
 */
export async function reserve(
  records: readonly InstanceRecord[],
  { reservations = [] }: Pick<Order, 'reservations'>,
  places: Places,
): Promise<Map<string, string>> {
  const failed = new Map<string, string>();
  const slices = Map.groupBy(records, ({ name }) => sliceOf(name));
  slices.delete(null);
  // What is in force is read before the clock: a timer that is due meanwhile does the same.
  const marks = new Map<string, Share | null>();
  for (const { name } of [...slices.values()].flat()) marks.set(name, await markOf(name, places));
  const now = places.now();
  const units = new Map<string, string>();
  for (const [slice, all] of slices) {
    const windows = reservations.filter((one) => one.slice === slice && one.until > now);
    const timed = windows.toSorted((a, b) => a.from - b.from).slice(0, TIMED);
    for (const at of changesAfter(timed, now))
      for (const [name, limits] of limitsWith(extraAt(timed, at), all))
        for (const [file, text] of changeTexts(instanceId(name), at, limits, markFile(places, name)))
          units.set(file, text);
    for (const [name, limits] of limitsWith(extraAt(windows, now), all)) {
      const why = await setNow(name, limits, marks.get(name) ?? null, isSaid(windows, now), places);
      if (why !== null) failed.set(name, why);
    }
  }
  const why = await keepTimers(units, now, places).catch(messageOf);
  if (why !== null)
    for (const { slice } of reservations)
      for (const { name } of slices.get(slice) ?? []) failed.set(name, why);
  return failed;
}

const isSaid = (windows: readonly Window[], now: number): boolean => {
  const { cpu, memory } = extraAt(windows, now);
  return cpu > 0 || memory > 0;
};

/** @returns why not; null: it is so */
async function setNow(
  name: string,
  limits: Limits,
  mark: Share | null,
  isMore: boolean,
  places: Places,
): Promise<string | null> {
  const isSet = mark === null ? !isMore : mark.cpu === limits.cpu && mark.memory === limits.memory;
  if (isSet) return null;
  const { code, stderr } = await places.systemctl(...setLimits(instanceId(name), limits));
  if (code !== 0) return `its share was not changed: ${stderr.trim()}`;
  await writeFileAtomic(markFile(places, name), markText(limits, `${places.now()}`), 0o644);
  return null;
}

/** @param wanted text by name of file @returns why not; null: they are there */
async function keepTimers(
  wanted: ReadonlyMap<string, string>,
  now: number,
  { units, systemctl }: Places,
): Promise<string | null> {
  const there = (await readdir(units)).filter((file) => dueOf(file) !== null);
  const gone = there.filter((file) => {
    const due = dueOf(file)!;
    return !wanted.has(file) && (due > now || due < now - LEFT);
  });
  let isNew = false;
  for (const [file, text] of wanted) {
    const path = join(units, file);
    if ((await readFile(path, 'utf8').catch(() => null)) === text) continue;
    await writeFileAtomic(path, text, 0o644);
    isNew = true;
  }
  const timers = (files: Iterable<string>) => [...files].filter((file) => file.endsWith('.timer'));
  if (timers(gone).length > 0) await systemctl('stop', ...timers(gone));
  for (const file of gone) await rm(join(units, file), { force: true });
  if (isNew || gone.length > 0) await systemctl('daemon-reload');
  if (wanted.size === 0) return null;
  // At each look: whoever was ended before it came to this has left them written and not begun.
  const { code, stderr } = await systemctl('start', ...timers(wanted.keys()));
  return code === 0 ? null : `its timers were not started: ${stderr.trim()}`;
}
