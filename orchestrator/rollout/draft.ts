import type { Cause } from '../causes/cause.ts';
import { commandFor } from './command.ts';
import { oneMore } from './down.ts';
import { edited } from './edited.ts';
import type { Command, Note, Step } from './event.ts';
import { count } from './limits.ts';
import { DISRUPTED, type NodeStep, type StepState, UNDER_WAY, waitsStaged } from './node-step.ts';
import {
  ENDED,
  type RolloutRecord,
  type RolloutSetup,
  type RolloutStatus,
  type WaveRecord,
} from './record.ts';
import type { RolloutState } from './state.ts';
import { isDisrupted } from './taken-down.ts';

/** No node gets that many orders within the writes that one failover loses. */
const EPOCHS_LOST_AT_MOST = 1024;
/** Two failovers in short succession leave different gaps: orders between them may be lost as well. */
const GAPS = 64;

/**
 * Epochs that are left free after a failover, above the highest that is known of a node. Small compared with the jump
 * that the signer refuses as a database that uses up a node's numbers (`SIGNER_EPOCH_JUMP`). It only saves a request:
 * the signer refuses an epoch that it signed for something else, and reports its highest one.
 */
export function gapOf(term: number): number {
  return EPOCHS_LOST_AT_MOST * (1 + (term % GAPS));
}

/** Steps whose marks are kept: more are never written between two looks of one process. */
const MARKS = 64;

/** Changes on top of records that stay as they are: a record is copied when it is first changed. */
export class Draft {
  /** As planned, with what was edited since. */
  setup: RolloutSetup;
  readonly rollout: RolloutRecord;
  /** Wall clock of this input, ms since the epoch. */
  readonly at: number;
  readonly commands: Command[] = [];
  readonly notes: Note[] = [];
  readonly refusals: Step['refusals'] = [];
  /** What is waited for because nodes are down, found in this input. */
  readonly waits = new Map<string, { why: string; since: number }>();
  /** Causes of troubles that last, found in this input. */
  readonly holding: { cause: Cause; why: string }[] = [];
  /**
   * What comparing silent nodes has shown in this input: ids of nodes that are silent with others, and for each place the
   * silence, ms, up to which it is too early to say.
   */
  readonly silences = { shared: new Map<string, Cause>(), early: new Map<string, number>() };
  readonly #base: RolloutState;
  readonly #waves = new Map<number, WaveRecord>();
  readonly #nodes = new Map<string, NodeStep>();
  readonly #touched = new Map<number, string>();
  #fence: Step['fence'] = null;

  readonly #mark: string | undefined;

  constructor(base: RolloutState, at: number, mark?: string) {
    this.#base = base;
    this.#mark = mark;
    this.at = at;
    this.setup = edited(base.setup, base.rollout.edits);
    const { inFlight } = base.rollout;
    this.rollout = {
      ...base.rollout,
      inFlight: { whole: inFlight.whole, site: { ...inFlight.site }, rack: { ...inFlight.rack } },
      approvals: [...base.rollout.approvals],
    };
  }

  get clock(): number {
    return this.rollout.clock;
  }

  /** Rollout time in which somebody was there to hear a node, ms: what silence is measured in. */
  get watched(): number {
    return this.rollout.clock - this.rollout.deaf;
  }

  get ended(): boolean {
    return ENDED.includes(this.rollout.state);
  }

  get waveCount(): number {
    return this.#base.waves.length;
  }

  /** Must not be changed: `edit` gives the copy for that. */
  peek(id: string): Readonly<NodeStep> | undefined {
    return this.#nodes.get(id) ?? this.#base.nodes.get(id);
  }

  edit(id: string): NodeStep {
    let node = this.#nodes.get(id);
    if (node === undefined) {
      node = { ...this.#base.nodes.get(id)! };
      this.#nodes.set(id, node);
    }
    return node;
  }

  add(node: NodeStep): void {
    this.#nodes.set(node.node, node);
  }

  peekWave(index: number): Readonly<WaveRecord> {
    return this.#waves.get(index) ?? this.#base.waves[index]!;
  }

  wave(index: number): WaveRecord {
    let wave = this.#waves.get(index);
    if (wave === undefined) {
      const base = this.#base.waves[index]!;
      wave = { ...base, counts: { ...base.counts } };
      this.#waves.set(index, wave);
    }
    return wave;
  }

  placesOf(wave: number): readonly string[] {
    return this.#base.order[wave]!;
  }

  touchedAt(touch: number): string | undefined {
    return this.#touched.get(touch) ?? this.#base.touched[touch];
  }

  /** Ids of nodes that are under way now, in a fixed order. */
  active(): string[] {
    const ids = new Set(this.#base.active);
    for (const [id, node] of this.#nodes) {
      if (UNDER_WAY.includes(node.state)) ids.add(id);
      else ids.delete(id);
    }
    return [...ids];
  }

  /** All nodes, as they are now; must not be changed. */
  *everybody(): Generator<Readonly<NodeStep>> {
    for (const [id, node] of this.#base.nodes) yield this.#nodes.get(id) ?? node;
    for (const [id, node] of this.#nodes) if (!this.#base.nodes.has(id)) yield node;
  }

  /** Ids of done nodes that may be silent or ill. */
  troubled(): string[] {
    const ids = new Set(this.#base.troubled);
    for (const [id, node] of this.#nodes) if (node.state === 'done') ids.add(id);
    return [...ids];
  }

  /** Its failure is not caused by the version: it is not counted in any budget. */
  excuse(node: NodeStep, cause: Cause): void {
    if (node.failed || node.excused !== null) return;
    node.excused = cause;
    this.rollout.excused += 1;
  }

  /** Nodes of the whole rollout in these states. */
  total(...states: StepState[]): number {
    let sum = 0;
    for (let i = 0; i < this.waveCount; i += 1) {
      const { counts } = this.peekWave(i);
      for (const state of states) sum += counts[state];
    }
    return sum;
  }

  /** From here on its own reports count again; until now its heartbeats took their place. */
  #leavesWaiting(node: NodeStep): void {
    if (waitsStaged(node) && node.reachable) node.heard = this.watched;
  }

  move(node: NodeStep, to: StepState, why: string): void {
    this.#leavesWaiting(node);
    const { counts } = this.wave(node.wave);
    counts[node.state] -= 1;
    counts[to] += 1;
    this.notes.push({ what: 'node', id: node.node, from: node.state, to, why, by: 'engine' });
    this.#disrupt(node, to);
    node.state = to;
    // Why an order was refused says nothing of what comes after it.
    node.blocked = null;
    node.anew = 0;
    node.since = this.clock;
    node.why = why;
  }

  #disrupt(node: NodeStep, to: StepState): void {
    const { rollout, setup } = this;
    const isTakenDown = to === 'activating' || (to === 'rolling-back' && isDisrupted({ ...node, state: to }));
    if (isTakenDown && typeof this.#fence !== 'number') {
      const { fence } = rollout.around;
      this.#fence = fence ?? 'unseen';
      if (fence !== null) rollout.around = { ...rollout.around, fence: fence + 1 };
    }
    if (!isDisrupted(node) || DISRUPTED.includes(to)) return;
    // Nobody counts it as under way any more: if it is not well, it is one of those that are down, until the next look.
    if (to === 'needs-recovery' || to === 'skipped') node.down = true;
    if (node.down) rollout.around = oneMore(rollout.around, node, setup.sizes);
  }

  setState(to: RolloutStatus, why: string, by: string): void {
    const { rollout } = this;
    this.notes.push({ what: 'rollout', id: rollout.id, from: rollout.state, to, why, by });
    rollout.state = to;
    rollout.why = why;
    rollout.by = by;
    if (to !== 'paused') rollout.before = null;
    if (to !== 'paused') rollout.held = null;
    if (to !== 'paused') delete rollout.yields;
    if (to === 'rolling-back') rollout.turned = this.clock;
    if (ENDED.includes(to)) rollout.endedAt = this.at;
  }

  setWave(wave: WaveRecord, to: WaveRecord['state'], why: string): void {
    const id = this.setup.waves[wave.index]!.name;
    this.notes.push({ what: 'wave', id, from: wave.state, to, why, by: 'engine' });
    wave.state = to;
    wave.since = this.clock;
  }

  /** Something about a wave that stays in its state. */
  noteWave({ index, state }: Readonly<WaveRecord>, why: string, by = 'engine'): void {
    this.notes.push({ what: 'wave', id: this.setup.waves[index]!.name, from: state, to: state, why, by });
  }

  takeSlot(node: NodeStep): void {
    if (node.slot) return;
    this.#leavesWaiting(node);
    node.slot = true;
    count(this.rollout.inFlight, node, 1);
  }

  freeSlot(node: NodeStep): void {
    if (!node.slot) return;
    node.slot = false;
    count(this.rollout.inFlight, node, -1);
  }

  touch(node: NodeStep): void {
    this.rollout.touches += 1;
    this.rollout.undo = this.rollout.touches;
    node.touch = this.rollout.touches;
    this.#touched.set(node.touch, node.node);
  }

  /** A new effect needs a new epoch. */
  command(node: NodeStep): void {
    node.epoch += 1;
    node.sent = null;
    node.told = false;
    this.send(node);
  }

  /** The same command again, or for the first time; a node of an older term must report before it gets one. */
  send(node: NodeStep): void {
    if (node.term !== this.rollout.term) return;
    const command = commandFor(this.setup, node);
    if (command === null) return;
    node.sent = this.clock;
    this.commands.push(command);
  }

  /** @param before the clock of the base: a moved clock alone is a change worth writing */
  finish(before: number): Step {
    const { marks } = this.rollout;
    const changed =
      this.#nodes.size > 0 ||
      this.#waves.size > 0 ||
      this.notes.length > 0 ||
      this.rollout.clock !== before ||
      JSON.stringify(this.rollout) !== JSON.stringify(this.#base.rollout);
    return {
      changed,
      rollout: changed
        ? {
            ...this.rollout,
            rev: this.#base.rollout.rev + 1,
            marks: this.#mark === undefined ? marks : [...marks, this.#mark].slice(-MARKS),
          }
        : this.#base.rollout,
      waves: [...this.#waves.values()],
      nodes: [...this.#nodes.values()],
      commands: this.commands,
      notes: this.notes,
      fence: this.#fence,
      refusals: this.refusals,
    };
  }
}
