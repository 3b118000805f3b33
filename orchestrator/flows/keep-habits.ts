/** Keeps what nodes usually send, and tells people where one begins to send many times more; where its site says so, that is frozen. */
import { messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import { ownerOf, shownName, sliceOf } from '../../protocol/service/name.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { decideRestraint } from '../restraints/decide.ts';
import { runningOn } from '../restraints/running.ts';
import type { HabitFiles } from './habit-files.ts';
import { Habits, type Unusual } from './habits.ts';
import type { Line } from './line.ts';

const ACTOR = 'traffic';
const HOUR = 3600_000;
/** Services that one server freezes by itself in an hour: more at once are a release, or a mistake of ours. */
export const MOST_FROZEN = 5;

export class HabitKeeper {
  readonly #parts: { fleet: Fleet; files: HabitFiles; log: Logger };
  readonly #nodes = new Map<string, Habits>();
  #frozen: number[] = [];

  constructor(parts: { fleet: Fleet; files: HabitFiles; log: Logger }) {
    this.#parts = parts;
  }

  /** Never throws: what a node has told is kept, whatever is thought of it. */
  async hear(node: string, line: Line): Promise<void> {
    const { files, log } = this.#parts;
    try {
      const habits = this.#nodes.get(node) ?? new Habits(await files.read(node));
      this.#nodes.set(node, habits);
      const { changed, unusual } = habits.hear(line);
      for (const one of unusual) await this.#tell(node, one, line.heard);
      if (changed) await files.write(node, habits.kept);
    } catch (error) {
      log.warn({ node, reason: messageOf(error) }, 'what a node usually sends was not kept');
    }
  }

  tidy(now: number): Promise<void> {
    return this.#parts.files.tidy(now);
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
    const reason = `${name} sends many times more than before: ${what}; 'bootwave who --from ${node} --at ${since} --within 7200' shows where`;
    const about = { service: name, owner: ownerOf(service), ...(slice === null ? {} : { slice }) };
    log.warn(
      { id, node, code: 'TRAFFIC_UNUSUAL', ...about, what },
      'a service sends many times more than before',
    );
    await fleet.audit.append({
      at,
      actor: ACTOR,
      node: id,
      action: 'unusual-traffic',
      reason,
      detail: about,
    });
    if (traffic === 'freeze') await this.#freeze(id, service, what, at);
  }

  async #freeze(node: string, service: string, what: string, at: number): Promise<void> {
    const { fleet, log } = this.#parts;
    this.#frozen = this.#frozen.filter((then) => at - then < HOUR);
    if (this.#frozen.length >= MOST_FROZEN)
      return log.warn(
        { node, service, code: 'TRAFFIC_MANY' },
        'many services send more at once: none more is frozen',
      );
    // A person has it in hand.
    if (fleet.decisions.restraints.of({ service, node })?.how != null) return;
    // A node may make names up.
    if (!(await runningOn(fleet, new Set([service]))).has(node)) return;
    this.#frozen.push(at);
    const word = {
      service,
      node,
      how: 'freeze' as const,
      rate: null,
      reason: `it sends many times more: ${what}`,
    };
    await decideRestraint(fleet, word, { actor: ACTOR, at });
  }
}
