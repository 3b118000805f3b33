/** Keeps what nodes usually send, and tells people where one begins to send many times more; where its site says so, that is frozen. */
import { messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import { ownerOf, shownName, sliceOf } from '../../protocol/service/name.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { decideRestraint } from '../restraints/decide.ts';
import { runningOn } from '../restraints/running.ts';
import { readUsages } from '../usage/stored.ts';
import type { HabitFiles } from './habit-files.ts';
import { Habits, type Unusual } from './habits.ts';
import type { Line } from './line.ts';

const ACTOR = 'traffic';
const HOUR = 3600_000;
/**
 * Services that one server freezes by itself in an hour: more at once are a release, or a mistake of ours. Of one node, of one service
 * or slice, and of one site there are fewer, so that nobody uses up what is for others.
 */
export const MOST_FROZEN = { all: 20, site: 5, node: 2, of: 2 } as const;
type Frozen = { at: number } & Record<keyof typeof MOST_FROZEN, string>;

export class HabitKeeper {
  readonly #parts: { fleet: Fleet; files: HabitFiles; log: Logger };
  readonly #nodes = new Map<string, Habits>();
  #frozen: Frozen[] = [];

  constructor(parts: { fleet: Fleet; files: HabitFiles; log: Logger }) {
    this.#parts = parts;
  }

  /** Never throws: what a node has told is kept, whatever is thought of it. */
  async hear(node: string, line: Line): Promise<void> {
    const { files, log } = this.#parts;
    try {
      const habits = this.#nodes.get(node) ?? new Habits(await files.read(node));
      this.#nodes.set(node, habits);
      const { changed, unusual } = habits.hear(line, await this.#running(node));
      for (const one of unusual) await this.#tell(node, one, line.heard);
      if (changed) await files.write(node, habits.kept);
    } catch (error) {
      log.warn({ node, reason: messageOf(error) }, 'what a node usually sends was not kept');
    }
  }

  tidy(now: number): Promise<void> {
    return this.#parts.files.tidy(now);
  }

  /** As the node has said, of what its order names. Who is frozen sends nothing, and that is no habit. */
  async #running(node: string): Promise<string[]> {
    const { redis, decisions } = this.#parts.fleet;
    const { services = [] } = (await readUsages(redis, [node])).get(node)?.usage ?? {};
    const names = services.flatMap(({ name, runs }) => (runs === null ? [] : [name]));
    const restrained = decisions.restraints.on(node, names);
    return names.filter((name) => !restrained.some((one) => one.name === name && one.how === 'freeze'));
  }

  async #tell(id: string, { service, what, from }: Unusual, at: number): Promise<void> {
    const { fleet, log } = this.#parts;
    const record = await fleet.nodes.get(id);
    if (record === null) return;
    const { traffic } = (await fleet.sites.get(record.site)).policy;
    if (traffic === 'off') return;
    const { name: node } = record;
    const [name, slice] = [shownName(service), sliceOf(service)];
    const since = new Date(from).toISOString().slice(0, 16);
    const isOrdered = (await runningOn(fleet, new Set([service]), [id])).has(id);
    // A node may make names up: nobody is to be asked about what its order does not name.
    const doubt = isOrdered ? '' : `${node} says so of what its order does not name: `;
    const reason = `${doubt}${name} sends many times more than before: ${what}; 'bootwave who --from ${node} --at ${since} --within 7200' shows where`;
    const whose = { owner: ownerOf(service), ...(slice === null ? {} : { slice }) };
    const about = { service: name, ...(isOrdered ? whose : {}) };
    log.warn(
      { id, node, code: 'TRAFFIC_UNUSUAL', ...about, what },
      'a service sends many times more than before',
    );
    const entry = { at, actor: ACTOR, node: id, action: 'unusual-traffic', detail: about };
    await fleet.audit.append({ ...entry, reason });
    if (traffic !== 'freeze' || !isOrdered) return;
    // A person has it in hand.
    if (fleet.decisions.restraints.of({ service, node: id })?.how != null) return;
    const one = { at, all: '', site: record.site, node: id, of: slice ?? service };
    if (this.#isMany(one)) {
      log.warn(
        { node, service: name, code: 'TRAFFIC_MANY' },
        'many send more at once: this one is not frozen',
      );
      await fleet.audit.append({
        ...entry,
        reason: `${name} was not frozen: many send more at once in this hour [TRAFFIC_MANY]`,
      });
      return;
    }
    this.#frozen.push(one);
    const why = `it sends many times more: ${what}`;
    const word = { service, node: id, how: 'freeze' as const, rate: null, reason: why };
    await decideRestraint(fleet, word, { actor: ACTOR, at });
  }

  #isMany(one: Frozen): boolean {
    this.#frozen = this.#frozen.filter(({ at }) => one.at - at < HOUR);
    return (Object.keys(MOST_FROZEN) as (keyof typeof MOST_FROZEN)[]).some(
      (kind) => this.#frozen.filter((other) => other[kind] === one[kind]).length >= MOST_FROZEN[kind],
    );
  }
}
