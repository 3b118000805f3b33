/** Plays events to the engine one by one, for tests of single rules. */
import { advance, apply, createRollout, type RolloutState } from '../../../orchestrator/rollout/engine.ts';
import type { EngineEvent, NodeCommand, Report, Step } from '../../../orchestrator/rollout/event.ts';
import type { PlanNode } from '../../../orchestrator/rollout/node.ts';
import type { NodeStep } from '../../../orchestrator/rollout/node-step.ts';
import type { PlanFacts } from '../../../orchestrator/rollout/plan.ts';
import { type Instance, type Instances, wishesIn } from '../../../orchestrator/rollout/services.ts';
import { nothingAround } from './around.ts';
import { FACTS, planOf } from './fleet.ts';

const up = (version: string): Instance => ({ version, state: 'running', health: 'healthy', why: '' });

export class Script {
  state: RolloutState;
  at = 0;
  readonly #seq = new Map<string, number>();
  /** What each node reports: its boot, its version, the highest epoch that it accepted. */
  readonly #nodes = new Map<
    string,
    { boot: number; version: string; config: string | null; epoch: number; instances?: Instances }
  >();
  readonly #begun: EngineEvent[] = [];
  /** Whether commands are carried out at once; false: they wait in our own queue. */
  carries = true;
  /** Whether somebody looks at the fleet when nobody has. */
  looks = true;
  /** Every command so far. */
  readonly commands: NodeCommand[] = [];

  constructor(fleet: readonly PlanNode[], spec: Record<string, unknown>, facts: PlanFacts = FACTS) {
    const plan = planOf(fleet, { bake: { node: '1m', wave: '1m' }, waves: [{}], ...spec }, facts);
    this.state = createRollout(plan, { id: 'r1', author: 'ann', at: 0 });
    for (const node of fleet) {
      this.#nodes.set(node.id, {
        boot: 0,
        version: node.running ?? '',
        config: node.config,
        epoch: node.epoch,
        instances: Object.fromEntries(
          Object.entries(node.serving ?? {}).map(([name, { version }]) => [name, up(version)]),
        ),
      });
    }
  }

  get rollout() {
    return this.state.rollout;
  }

  node(id: string): NodeStep {
    return this.state.nodes.get(id)!;
  }

  /** Ids in a state, sorted. */
  in(state: NodeStep['state']): string[] {
    return [...this.state.nodes.values()]
      .filter((node) => node.state === state)
      .map((node) => node.node)
      .sort();
  }

  send(...events: EngineEvent[]): Step {
    const step = advance(this.state, { at: this.at, elapsed: 0, events: this.#looked(events) });
    apply(this.state, step);
    this.#take(step);
    return step;
  }

  /** Whoever takes it up looks at the fleet first. */
  #looked(events: readonly EngineEvent[]): readonly EngineEvent[] {
    return this.looks && this.rollout.around.fence === null ? [nothingAround(), ...events] : events;
  }

  #take(step: Step): void {
    for (const command of step.commands) {
      if (command.kind === 'gate') continue;
      this.commands.push(command);
      const { node, epoch } = command;
      if (this.carries) this.#begun.push({ type: 'begun', node, epoch });
    }
  }

  start(): Step {
    return this.send({ type: 'start', by: 'ann' });
  }

  /** Lets seconds pass, a tick every ten, while the named nodes keep on reporting. */
  pass(seconds: number, reporting: readonly string[] = []): Step[] {
    const steps: Step[] = [];
    for (let left = seconds; left > 0; left -= 10) {
      this.at += 10_000;
      const events: EngineEvent[] = [
        ...this.#begun.splice(0),
        ...reporting.map((id) => this.report(id)),
        { type: 'tick' },
      ];
      const step = advance(this.state, {
        at: this.at,
        elapsed: Math.min(left, 10) * 1000,
        events: this.#looked(events),
      });
      apply(this.state, step);
      this.#take(step);
      steps.push(step);
    }
    return steps;
  }

  report(id: string, more: Partial<Report> = {}): EngineEvent {
    const seq = (this.#seq.get(id) ?? 0) + 1;
    this.#seq.set(id, seq);
    const known = this.#nodes.get(id) ?? { boot: 0, version: '1.0', config: null, epoch: 0 };
    const report: Report = {
      seq,
      bootId: `${id}-boot-${known.boot}`,
      image: known.version,
      config: known.config,
      epoch: known.epoch,
      healthy: true,
      reason: '',
      services: {},
      instances: known.instances ?? {},
      failed: [],
      ...more,
    };
    return { type: 'report', node: id, report };
  }

  lastCommand(id: string): NodeCommand {
    return this.commands.findLast((command) => command.node === id)!;
  }

  /** A node that joined late has done nothing yet. */
  #known(id: string) {
    const known = this.#nodes.get(id) ?? { boot: 0, version: '1.0', config: null, epoch: 0 };
    this.#nodes.set(id, known);
    return known;
  }

  /** The node does what it was told last, truthfully. */
  obey(id: string): Step {
    const command = this.lastCommand(id);
    const known = this.#known(id);
    known.epoch = command.epoch;
    if (command.kind === 'stage') return this.send({ type: 'staged', node: id, epoch: command.epoch });
    if (command.of === 'config') known.config = command.version;
    else if (command.of === 'service') {
      const next: Record<string, Instance> = { ...known.instances };
      for (const { name, version } of wishesIn(command.version ?? '')) {
        if (version === null) delete next[name];
        else if (next[name]?.version !== version) next[name] = up(version);
      }
      known.instances = next;
    } else if (command.version !== known.version) {
      known.boot += 1;
      known.version = command.version ?? '';
    }
    return this.send(this.report(id));
  }

  /** It starts again by itself, into this version. */
  reboot(id: string, version: string): void {
    const known = this.#known(id);
    known.boot += 1;
    known.version = version;
  }

  /** Its instance of a service is so from now on. @param name in full */
  turns(id: string, name: string, more: Partial<Instance>): void {
    const known = this.#known(id);
    const instance = { ...up('0'), ...known.instances?.[name], ...more };
    known.instances = { ...known.instances, [name]: instance };
  }

  /** Accepts the last command, but does nothing. */
  accept(id: string): void {
    this.#nodes.get(id)!.epoch = this.lastCommand(id).epoch;
  }

  /** From its turn to baking. */
  upgrade(...ids: string[]): void {
    for (const id of ids) {
      this.obey(id);
      this.obey(id);
    }
  }
}
