/**
 * Drives the real engine against a fleet of model nodes, as a bad edge would: late, twice, out of order, killed
 * between any two steps, with writes lost in a failover. Checks what must always hold after every step. Also used by
 * the bench and the long suite.
 */
import { budgetOf, limitOf } from '../../../orchestrator/rollout/amount.ts';
import { outstanding } from '../../../orchestrator/rollout/command.ts';
import { noCounts, tally } from '../../../orchestrator/rollout/down.ts';
import { edited } from '../../../orchestrator/rollout/edited.ts';
import {
  advance,
  apply,
  createRollout,
  loadRollout,
  type RolloutState,
} from '../../../orchestrator/rollout/engine.ts';
import type { Command, EngineEvent, NodeCommand, Step } from '../../../orchestrator/rollout/event.ts';
import { blockedBy, type Limits, limitsSpecOf, rackKey } from '../../../orchestrator/rollout/limits.ts';
import type { PlanNode } from '../../../orchestrator/rollout/node.ts';
import { type NodeStep, STEP_STATES, waitsStaged } from '../../../orchestrator/rollout/node-step.ts';
import { ENDED, type RolloutRecord } from '../../../orchestrator/rollout/record.ts';
import { isDisrupted } from '../../../orchestrator/rollout/taken-down.ts';
import { windowsOf } from '../../../orchestrator/rollout/window.ts';
import { comesBack } from '../../../orchestrator/rollout/yield.ts';
import { seen } from './around.ts';
import { FACTS, fleetOf, planOf, WITH_BARRIER } from './fleet.ts';
import { FAULTS, type Fault, ModelNode } from './model-node.ts';
import { Random } from './random.ts';

export type DriveOptions = {
  seed: number;
  nodes: number;
  sites: number;
  /** Share of nodes with a fault, 0 to 1. */
  faults: number;
  /** Which faults; all by default. */
  kinds?: readonly Fault[];
  spec?: Record<string, unknown>;
  /** Chance per tick that the orchestrator is killed, and that Redis forgets the last steps. */
  crash?: number;
  failover?: number;
  /** Chance per message to be late, doubled or lost. */
  disorder?: number;
  /** Chance per tick that an operator does something. */
  operator?: number;
  /** Puts a barrier between the two versions, so that every node goes in two hops. */
  barrier?: boolean;
  /** Nodes beside those of the rollout, in the same racks, that come and go. */
  outside?: number;
  /** Simulated hours until it must have ended. */
  hours?: number;
};

export type DriveResult = {
  state: RolloutState;
  /** Rules that were broken; empty when all held. */
  violations: string[];
  /** Simulated milliseconds. */
  took: number;
  models: Map<string, ModelNode>;
  events: number;
  commands: number;
  /** Reasons for which the engine paused by itself. */
  spent: string[];
  /** Steps after which something waited because nodes were down. */
  waited: number;
};

const TICK = 10_000;
const HEARTBEAT = 30_000;

export function drive(options: DriveOptions): DriveResult {
  return new Drive(options).run();
}

class Drive {
  readonly #o: Required<DriveOptions>;
  readonly #random: Random;
  readonly #models = new Map<string, ModelNode>();
  readonly #violations: string[] = [];
  readonly #spent: string[] = [];
  /** Messages by the tick at which they arrive. */
  readonly #events = new Map<number, EngineEvent[]>();
  readonly #commands = new Map<number, NodeCommand[]>();
  readonly #effects = new Map<string, string>();
  readonly #heard = new Map<string, number>();
  readonly #silent = new Set<string>();
  readonly #fleet: readonly PlanNode[];
  /** Nodes outside of the rollout, and those of them that are down. */
  readonly #outside = new Map<string, PlanNode>();
  readonly #away = new Set<string>();
  /** How often somebody had to wait because others were down. */
  #waited = 0;
  #state: RolloutState;
  #history: RolloutState[] = [];
  #tick = 0;
  #elapsed = 0;
  #failedOver = false;
  #touchesAtSpend: number | null = null;
  #count = { events: 0, commands: 0 };

  constructor(options: DriveOptions) {
    this.#o = {
      kinds: FAULTS,
      spec: {},
      crash: 0,
      failover: 0,
      disorder: 0.05,
      operator: 0,
      barrier: false,
      outside: 0,
      hours: 48,
      ...options,
    };
    this.#random = new Random(options.seed);
    this.#fleet = fleetOf(options.nodes + this.#o.outside, options.sites);
    for (const [i, node] of this.#fleet.entries())
      if (i % 2 === 1 && this.#outside.size < this.#o.outside) this.#outside.set(node.id, node);
    const fleet = this.#fleet.filter(({ id }) => !this.#outside.has(id));
    const plan = planOf(
      this.#fleet,
      {
        nodes: { names: fleet.map(({ id }) => id) },
        waves: [{ name: 'canary', take: Math.min(5, options.nodes) }, { take: '10%' }, { take: 'rest' }],
        limits: { whole: 100, site: '50%', rack: 2 },
        bake: { node: '1m', wave: '2m' },
        timeouts: { stage: '10m', activate: '8m', rollback: '10m', silent: '2m', unhealthy: '2m' },
        offline: { wait: '1h' },
        seed: String(options.seed),
        ...(options.barrier === true ? { barriers: 'pass' } : {}),
        ...options.spec,
      },
      options.barrier === true ? WITH_BARRIER : FACTS,
    );
    this.#state = createRollout(plan, { id: 'r1', author: 'ann', at: 0 });
    for (const node of fleet) {
      const fault = this.#random.chance(this.#o.faults) ? this.#random.pick(this.#o.kinds) : 'none';
      this.#models.set(node.id, new ModelNode(node.id, '1.0', node.epoch, fault, this.#random));
    }
    this.#send({ type: 'start', by: 'ann' }, 0);
  }

  /** What must hold on the way forward, said without the engine's own words for it. */
  #limitsOf(wave: number, { edits: { whole } }: RolloutRecord): Limits {
    const { waves, limits } = this.#state.setup;
    const said = waves[wave]?.limits ?? limits;
    return { ...said, whole: whole ?? said.whole };
  }

  /** And on the way back. */
  #limitsBack({ edits: { whole, wholeBack } }: RolloutRecord): Limits {
    const { limits, back } = this.#state.setup;
    return { ...(back ?? limits), whole: wholeBack ?? back?.whole ?? whole ?? limits.whole };
  }

  get #now(): number {
    return this.#tick * TICK;
  }

  #later<T>(queue: Map<number, T[]>, item: T, after: number): void {
    const tick = this.#tick + 1 + Math.floor(after / TICK);
    const bucket = queue.get(tick);
    if (bucket === undefined) queue.set(tick, [item]);
    else bucket.push(item);
  }

  #send(event: EngineEvent, after: number): void {
    this.#later(this.#events, event, after);
  }

  /** Late, twice or never, now and then. */
  #unsafely(send: (after: number) => void, after: number): void {
    const { disorder } = this.#o;
    if (this.#random.chance(disorder / 4)) return;
    send(after + (this.#random.chance(disorder) ? this.#random.between(0, 90_000) : 0));
    if (this.#random.chance(disorder)) send(after + this.#random.between(0, 180_000));
  }

  run(): DriveResult {
    const end = (this.#o.hours * 3_600_000) / TICK;
    while (this.#tick < end && !ENDED.includes(this.#state.rollout.state)) {
      this.#tick += 1;
      this.#elapsed += TICK;
      this.#world();
      this.#step();
      if (this.#violations.length > 20) break;
    }
    this.#atEnd();
    for (const model of this.#models.values()) {
      for (const what of model.violations) this.#violations.push(`${model.id}: ${what}`);
    }
    return {
      state: this.#state,
      violations: this.#violations,
      took: this.#now,
      models: this.#models,
      events: this.#count.events,
      commands: this.#count.commands,
      spent: this.#spent,
      waited: this.#waited,
    };
  }

  #world(): void {
    for (const command of this.#commands.get(this.#tick) ?? []) {
      const model = this.#models.get(command.node)!;
      const answer = model.obey(command, this.#now);
      if (model.up && !model.gone) {
        const { node, epoch } = command;
        this.#unsafely((after) => this.#send({ type: 'begun', node, epoch }, after), 0);
      }
      if (answer !== null) this.#unsafely((after) => this.#send(answer.event, after), answer.after);
    }
    this.#commands.delete(this.#tick);
    for (const id of this.#outside.keys()) {
      if (!this.#away.has(id) && this.#random.chance(0.005)) this.#away.add(id);
      else if (this.#random.chance(0.02)) this.#away.delete(id);
    }
    const beats = HEARTBEAT / TICK;
    let i = 0;
    for (const model of this.#models.values()) {
      i += 1;
      model.pass(this.#now);
      if (model.up && !model.gone && (this.#tick + i) % beats === 0) {
        this.#heard.set(model.id, this.#now);
        this.#silent.delete(model.id);
        if (this.#isFollowed(model)) continue;
        const report = model.report(this.#now);
        this.#unsafely((after) => this.#send({ type: 'report', node: model.id, report }, after), 0);
        this.#attest(model);
      } else if (this.#now - (this.#heard.get(model.id) ?? 0) > 120_000 && !this.#silent.has(model.id)) {
        this.#silent.add(model.id);
        this.#send({ type: 'unreachable', node: model.id }, 0);
      }
    }
  }

  /** It waits with its file, and is not asked: the fleet alone says of it whether it is there, and in the same boot. */
  #isFollowed({ id, bootId }: ModelNode): boolean {
    const step = this.#state.nodes.get(id);
    if (step === undefined || !waitsStaged(step) || step.position % 3 === 0) return false;
    if (step.term !== this.#state.rollout.term || step.bootId !== bootId) return false;
    if (!step.reachable) this.#send({ type: 'reachable', node: id }, 0);
    return true;
  }

  /** What the boot server verified of this boot; it looks again and again, as the real edge does. */
  #attest({ id: node, bootId, running: image }: ModelNode): void {
    const step = this.#state.nodes.get(node);
    if (step?.state !== 'booted' || step.bootId !== bootId) return;
    const ok = image === step.hops[step.hop];
    this.#unsafely(
      (after) => this.#send({ type: 'attested', node, bootId, image, ok, why: 'model' }, after),
      0,
    );
  }

  #step(): void {
    const events: EngineEvent[] = [this.#look(), ...(this.#events.get(this.#tick) ?? []), { type: 'tick' }];
    this.#events.delete(this.#tick);
    this.#operate(events);
    this.#count.events += events.length;
    // The wall clock is anybody's guess: nothing but windows may look at it.
    const at = this.#now + (this.#random.chance(0.1) ? this.#random.between(-1e9, 1e9) : 0);
    const step = advance(this.#state, { at, elapsed: this.#elapsed, events });
    if (this.#random.chance(this.#o.crash / 2)) {
      // Killed before the write: the step never was. What it was told comes again, or not.
      for (const event of events) {
        // What was seen is forgotten: who comes next looks for themselves.
        if (event.type === 'around') continue;
        if ('by' in event || this.#random.chance(0.5)) this.#send(event, 0);
      }
      this.#restore(this.#state, { type: 'takeover' });
      return;
    }
    this.#check(step);
    this.#checkWindows(step, at);
    this.#checkDown(step);
    apply(this.#state, step);
    this.#elapsed = 0;
    this.#recount();
    if (this.#o.failover > 0) this.#remember();
    if (this.#random.chance(this.#o.crash / 2)) {
      // Killed after the write, before the commands went out: the next one makes them again from the records.
      this.#restore(this.#state, { type: 'takeover' });
      this.#deliver(outstanding(this.#state));
      return;
    }
    this.#deliver(step.commands);
    if (this.#random.chance(0.02)) this.#deliver(outstanding(this.#state));
    const lost = this.#history[0];
    if (lost !== undefined && this.#random.chance(this.#o.failover)) {
      this.#failedOver = true;
      this.#touchesAtSpend = null;
      this.#history = [];
      this.#restore(lost, { type: 'failover', term: this.#tick });
    }
  }

  /** What the fleet shows. */
  #look() {
    const [of, others] = [noCounts(), noCounts()];
    for (const node of this.#fleet) tally(of, node);
    for (const id of this.#away) tally(others, this.#outside.get(id)!);
    return seen([...this.#silent], { of, others });
  }

  /** No node is taken down where the limits, or the last live one, do not allow it. */
  #checkDown(step: Step): void {
    const { spec } = edited(this.#state.setup, step.rollout.edits);
    if (Object.keys(step.rollout.waits ?? {}).length > 0) this.#waited += 1;
    if (spec.limits.down === 'ignore') return;
    const after = (id: string) => step.nodes.find((n) => n.node === id) ?? this.#state.nodes.get(id);
    const down = this.#fleet.filter(({ id }) => {
      const now = after(id);
      if (now === undefined) return this.#away.has(id);
      return this.#silent.has(id) || isDisrupted(now);
    });
    const taken = step.notes.filter(
      ({ what, to, why }) => what === 'node' && to === 'activating' && why === 'activating',
    );
    for (const { id } of taken) {
      const { site, rack, state, wave } = after(id)!;
      const limits = limitsSpecOf(spec, wave);
      if (state !== 'activating' || this.#silent.has(id)) continue;
      const at = (nodes: readonly PlanNode[], isRack: boolean) =>
        nodes.filter((node) => node.site === site && (!isRack || node.rack === rack)).length;
      const places = [
        [at(down, false), limitOf(limits.site, at(this.#fleet, false)), 'site'],
        [at(down, true), limitOf(limits.rack, at(this.#fleet, true)), 'rack'],
        [at(down, true), Math.max(1, at(this.#fleet, true) - 1), 'live'],
      ] as const;
      for (const [away, most, what] of places)
        if (away > most && !this.#strayed) this.#broken(`${id}: ${what} has ${away} down, ${most} allowed`);
    }
  }

  #remember(): void {
    // Records are never changed in place, so it is enough to remember which there were.
    const { setup, rollout, waves, nodes, order, touched, active, troubled } = this.#state;
    this.#history.push({
      setup,
      rollout,
      waves: [...waves],
      nodes: new Map(nodes),
      order,
      touched,
      active,
      troubled,
    });
    if (this.#history.length > 6) this.#history.shift();
  }

  #restore(state: RolloutState, event: EngineEvent): void {
    this.#state = copyOf(state);
    this.#elapsed = 0;
    // Before anything else: that is the caller's part of the contract.
    const step = advance(this.#state, { at: this.#now, elapsed: 0, events: [event] });
    apply(this.#state, step);
    this.#deliver(step.commands);
  }

  #operate(events: EngineEvent[]): void {
    const { rollout } = this.#state;
    if (rollout.state === 'paused' && this.#random.chance(0.05)) {
      events.push(
        this.#random.chance(0.7)
          ? { type: 'resume', by: 'ben' }
          : { type: this.#random.pick(['rollback', 'abort'] as const), by: 'ben', why: 'enough' },
      );
    }
    // Who waits for nodes that stay dead is helped by a person.
    if (this.#waited > (2 * 3_600_000) / TICK && rollout.edits.down === undefined)
      events.push({ type: 'edit', by: 'ben', changes: { down: 'ignore' } });
    this.#proceed(events);
    if (!this.#random.chance(this.#o.operator)) return;
    const node = this.#random.pick([...this.#models.keys()]);
    const by = 'ben';
    const why = 'because';
    events.push(
      this.#random.pick<EngineEvent>([
        { type: 'pause', by, why },
        { type: 'resume', by },
        { type: 'skip', by, why, node },
        { type: 'removed', node, why: 'retired' },
        { type: 'skip-wave', by, why, wave: 1 },
        { type: 'edit', by, changes: { whole: 1 + Math.floor(this.#random.between(0, 5)) } },
        ...(this.#random.chance(0.1)
          ? ([
              { type: 'abort', by, why },
              { type: 'rollback', by, why },
              { type: 'supersede', by, with: 'r2' },
              { type: 'preempt', by, with: 'r3' },
              { type: 'preempt', by, with: 'r3' },
            ] as const)
          : []),
      ]),
    );
  }

  /** Another rollout went first, has taken one of those that waited, and has ended. */
  #proceed(events: EngineEvent[]): void {
    const { yields } = this.#state.rollout;
    if (yields?.rests !== true || !this.#random.chance(0.1)) return;
    const [taken] = [...this.#state.nodes.values()].filter(comesBack);
    events.push({
      ...{ type: 'proceed', of: yields.to },
      taken: taken === undefined ? [] : [{ node: taken.node, by: yields.to }],
    });
  }

  #deliver(commands: readonly Command[]): void {
    for (const command of commands) {
      if (command.kind === 'gate') {
        const { wave, gate, run } = command;
        const ok = this.#random.chance(0.9);
        this.#unsafely(
          (after) => this.#send({ type: 'gate', wave, gate, run, ok, why: 'model' }, after),
          5_000,
        );
        continue;
      }
      this.#count.commands += 1;
      const key = `${command.node} ${command.epoch}`;
      const effect = JSON.stringify(command);
      const known = this.#effects.get(key);
      if (known !== undefined && known !== effect) this.#broken(`${key} meant ${known}, now ${effect}`);
      this.#effects.set(key, effect);
      this.#unsafely((after) => this.#later(this.#commands, command, after), this.#random.between(0, 15_000));
    }
  }

  #broken(what: string): void {
    this.#violations.push(`seed ${this.#o.seed}, ${this.#now / 1000} s: ${what}`);
  }

  /** What one step may do, given the records before it. */
  #check(step: Step): void {
    const { rollout: before } = this.#state;
    const started = step.nodes.filter((node) => node.slot && this.#state.nodes.get(node.node)?.slot !== true);
    for (const node of started) {
      // What a node did by itself is not the engine's doing; everything else fits into what was free.
      if (node.state === 'booted' || node.state === 'attested' || node.state === 'baking') continue;
      const now = step.rollout.inFlight;
      const isOver = (limits: Limits) =>
        now.whole > limits.whole ||
        now.site[node.site]! > limits.site[node.site]! ||
        (rackKey(node) !== null && now.rack[rackKey(node)!]! > limits.rack[rackKey(node)!]!);
      if (this.#limitsFor(node, step).every(isOver) && !this.#strays(step))
        this.#broken(`${node.node} started over a limit: ${JSON.stringify(now)}`);
    }
    if (step.rollout.spent !== null && before.spent === null) this.#onSpend(step);
    if (step.rollout.spent === null) this.#touchesAtSpend = null;
    if (this.#touchesAtSpend !== null) {
      const more = step.nodes.filter(
        (node) => node.touch > this.#touchesAtSpend! && node.state === 'staging',
      );
      if (more.length > 0) this.#broken(`${more[0]!.node} was started after the budget was spent`);
    }
    if (step.rollout.state === 'rolling-back') this.#newestFirst(step);
  }

  /** Those within which a node was started, on its way or back: of what was open before the step, or after it. */
  #limitsFor(node: NodeStep, { rollout }: Step): Limits[] {
    if (node.state !== 'rolling-back') return [this.#limitsOf(node.wave, rollout)];
    if (rollout.state === 'rolling-back') return [this.#limitsBack(rollout)];
    return [this.#state.rollout.wave, rollout.wave].map((wave) => this.#limitsOf(wave, rollout));
  }

  /** Nobody begins to restart outside the windows of its wave, which here are of every day and in UTC. */
  #checkWindows(step: Step, at: number): void {
    const minute = (((at / 60_000) % 1440) + 1440) % 1440;
    for (const { id } of step.notes.filter(({ to }) => to === 'activating')) {
      const { wave } = this.#state.nodes.get(id)!;
      const windows = windowsOf(this.#state.setup.spec, wave);
      const isOpen = windows.some(
        ({ from, to, margin = 0 }) => minute >= from && minute < to - margin / 60_000,
      );
      if (windows.length > 0 && !isOpen) this.#broken(`${id} restarted outside its windows: ${minute}`);
    }
  }

  /** Whether a node that nobody started holds a slot. */
  #strays(step: Step): boolean {
    // By the notes: in the same step it may have been sent back already.
    const hadNone = (id: string) => this.#state.nodes.get(id)?.slot === false;
    if (step.notes.some(({ id, to }) => to === 'booted' && hadNone(id))) this.#strayed = true;
    return this.#strayed;
  }
  #strayed = false;

  #onSpend(step: Step): void {
    const why = step.rollout.spent!;
    this.#spent.push(why);
    if (this.#failedOver) return;
    // In the input that spends it, a bake that ended before may have begun a second hop; nothing may begin its first.
    const begun = step.nodes.find((node) => node.touch > this.#state.rollout.touches && node.hop === 0);
    if (begun?.state === 'staging') this.#broken(`${begun.node} was started while the budget was spent`);
    this.#touchesAtSpend = step.rollout.touches;
    const { spec } = this.#state.setup;
    let size = 0;
    for (const wave of this.#state.waves) size += wave.size;
    const allowed = budgetOf(spec.budget.whole ?? { percent: 2 }, size) + (spec.budget.whole ? 0 : 1);
    const { failures, forgiven } = step.rollout;
    // One input may carry many failures at once, but never more than were under way, plus the done that strayed.
    const bound =
      allowed +
      1 +
      this.#state.active.size +
      step.notes.filter(({ from, to }) => from === 'done' && to === 'failed').length;
    if (failures - forgiven > bound)
      this.#broken(`${failures - forgiven} failures against a budget of ${allowed}`);
  }

  #newestFirst(step: Step): void {
    const after = (id: string) => step.nodes.find((n) => n.node === id) ?? this.#state.nodes.get(id)!;
    let last = Number.POSITIVE_INFINITY;
    const back = ['rolling-back', 'rolled-back', 'taken-back', 'needs-recovery', 'skipped'];
    const was = (id: string) => this.#state.nodes.get(id)!.state;
    const started = step.nodes
      .filter((node) => node.state === 'rolling-back' && was(node.node) !== 'rolling-back')
      .map((node) => node.node);
    // One that failed by itself may go back in the same input in which everything turns a moment later.
    const turned = step.notes.findIndex((note) => note.what === 'rollout' && note.to === 'rolling-back');
    const starts = step.notes
      .slice(Math.max(turned, 0))
      .filter((note) => note.to === 'rolling-back' && started.includes(note.id));
    for (const note of starts) {
      const node = after(note.id);
      if (node.touch > last) this.#broken(`${node.node} was rolled back before one touched earlier`);
      last = node.touch;
    }
    const oldest = starts.at(-1);
    if (oldest === undefined || after(oldest.id).touch === 0) return;
    const { touch } = after(oldest.id);
    for (const other of this.#state.nodes.values()) {
      if (other.touch <= touch || back.includes(after(other.node).state)) continue;
      const now = after(other.node);
      if (!now.reachable || this.#isSilent(now, step.rollout)) continue;
      if (blockedBy(this.#limitsBack(step.rollout), step.rollout.inFlight, now) === null) {
        this.#broken(`${oldest.id} (touch ${touch}) went back before ${now.node} (touch ${now.touch})`);
      }
    }
  }

  /** What is dead cannot be taken back: those that live do not wait for it. */
  #isSilent(node: NodeStep, { clock, deaf, listening }: RolloutRecord): boolean {
    const { silent } = this.#state.setup.spec.timeouts;
    return node.heard !== null && clock - deaf - Math.max(node.heard, listening) > silent;
  }

  /** The small records say the same as the many: every node in one wave, every slot counted once. */
  #recount(): void {
    if (this.#state.nodes.size > 200 && this.#tick % 20 !== 0) return;
    const counts = this.#state.waves.map(() => new Map<string, number>());
    const slots = { whole: 0, site: {} as Record<string, number>, rack: {} as Record<string, number> };
    for (const node of this.#state.nodes.values()) {
      const wave = counts[node.wave]!;
      wave.set(node.state, (wave.get(node.state) ?? 0) + 1);
      if (this.#state.order[node.wave]![node.position] !== node.node)
        this.#broken(`${node.node} has no place`);
      if (!node.slot && node.state === 'activating' && this.#state.rollout.turned === 0)
        this.#broken(`${node.node} restarts without a slot`);
      if (!node.slot) continue;
      slots.whole += 1;
      slots.site[node.site] = (slots.site[node.site] ?? 0) + 1;
      const rack = rackKey(node);
      if (rack !== null) slots.rack[rack] = (slots.rack[rack] ?? 0) + 1;
      if (node.why.startsWith('found on')) this.#strayed = true;
    }
    for (const [index, wave] of this.#state.waves.entries()) {
      let size = 0;
      for (const state of STEP_STATES) {
        const real = counts[index]!.get(state) ?? 0;
        size += real;
        if (real !== wave.counts[state]) {
          this.#broken(`wave ${index} counts ${wave.counts[state]} ${state}, but has ${real}`);
        }
      }
      if (size !== wave.size) this.#broken(`wave ${index} counts ${wave.size} nodes, but has ${size}`);
    }
    if (sorted(slots) !== sorted(this.#state.rollout.inFlight)) {
      this.#broken(`in flight ${sorted(this.#state.rollout.inFlight)}, but ${sorted(slots)}`);
    }
  }

  #atEnd(): void {
    const { rollout } = this.#state;
    if (!ENDED.includes(rollout.state)) this.#broken(`has not ended: ${rollout.state}, ${rollout.why}`);
    for (const node of this.#state.nodes.values()) {
      const model = this.#models.get(node.node)!;
      // A node may stray in the last minutes, or get an order that the store has forgotten: nobody can have heard of it yet.
      const isRecent = (at: number) => at < this.#now && this.#now - at < 6 * HEARTBEAT;
      const unheard = isRecent(model.strayedAt) || (this.#failedOver && isRecent(model.sentBackAt));
      if (node.state === 'done' && node.term === rollout.term && !unheard && model.running !== '2.0') {
        this.#broken(`${node.node} (${model.fault}) counts as done, but runs ${model.running}`);
      }
      if (node.state === 'rolled-back' && !model.gone && model.running !== node.lastGood && model.up) {
        this.#broken(`${node.node} (${model.fault}) counts as rolled back, but runs ${model.running}`);
      }
      if (
        rollout.state === 'done' &&
        node.state !== 'skipped' &&
        (node.state !== 'done' || node.term !== rollout.term)
      ) {
        this.#broken(`the rollout is done, but ${node.node} is ${node.state}`);
      }
      if (model.everRan.has('2.0') && node.touch === 0 && !this.#failedOver) {
        this.#broken(`${node.node} ran the new version without a touch`);
      }
    }
    if (rollout.inFlight.whole !== 0 && ENDED.includes(rollout.state)) {
      this.#broken(`ended with ${rollout.inFlight.whole} in flight`);
    }
  }
}

function sorted(value: {
  whole: number;
  site: Record<string, number>;
  rack: Record<string, number>;
}): string {
  const order = (record: Record<string, number>) =>
    Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([value.whole, order(value.site), order(value.rack)]);
}

/** Through JSON, as a store would. */
function copyOf(state: RolloutState): RolloutState {
  const copy = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;
  return loadRollout(
    state.setup,
    copy(state.rollout),
    copy(state.waves),
    [...state.nodes.values()].map((node) => copy(node)),
  );
}
