/**
 * A fleet, a version and what else may happen, played to the real engine as the real edge does: asked at the same pace,
 * compared with the same controls. Nothing of it is known to the engine but what nodes say, or do not say.
 */
import { blameOfNode } from '../../../orchestrator/causes/refusal.ts';
import {
  advance,
  apply,
  createRollout,
  loadRollout,
  type RolloutState,
} from '../../../orchestrator/rollout/engine.ts';
import type { EngineEvent, NodeCommand } from '../../../orchestrator/rollout/event.ts';
import { UNDER_WAY } from '../../../orchestrator/rollout/node-step.ts';
import { ENDED } from '../../../orchestrator/rollout/record.ts';
import { controlsOf } from '../../../orchestrator/rollout/run/controls.ts';
import { nothingAround } from '../../orchestrator/rollout/around.ts';
import { fleetOf, planOf } from '../../orchestrator/rollout/fleet.ts';
import { Random } from '../../orchestrator/rollout/random.ts';

export const BAD = ['panics', 'hangs', 'ill', 'ill-later', 'silent-later', 'one-model', 'a-third'] as const;
export const OUTAGES = [
  ...(['rack', 'site', 'uplink', 'time-server', 'clock', 'boot-server'] as const),
  ...(['dead-machine', 'switched-off', 'retired', 'ill-before', 'node-clock', 'queue'] as const),
];
export type Scenario = {
  seed: number;
  version: 'good' | (typeof BAD)[number];
  outage: 'none' | (typeof OUTAGES)[number];
};

export type Stop = { at: number; state: string; cause: string; why: string };
export type Played = {
  state: RolloutState;
  /** Seconds. */
  took: number;
  stops: Stop[];
  /** Share of the fleet that ever ran the version, 0 to 1. */
  touched: number;
  /** From and to, in seconds, of what happened beside the version. */
  trouble: { from: number; to: number };
};

const TICK = 10;
const HOURS = 10;

type Machine = {
  id: string;
  site: string;
  rack: string;
  model: number;
  running: string;
  epoch: number;
  boot: number;
  bootAt: number;
  upAt: number;
  next: string | null;
  dead: boolean;
  failed: string[];
  seq: number;
  ran: boolean;
};

export function play(scenario: Scenario): Played {
  const random = new Random(scenario.seed);
  const count = 60 + Math.floor(random.next() * 80);
  const sites = 3 + Math.floor(random.next() * 3);
  const chosen = random.next();
  const isIllBefore = (i: number) => scenario.outage === 'ill-before' && i % 29 === 7;
  const fleet = fleetOf(count, sites, (i) => (isIllBefore(i) ? { state: 'degraded' as const } : {}));
  const plan = planOf(fleet, {
    waves: [{ name: 'canary', take: 2 }, { take: '10%' }, { take: 'rest' }],
    limits: { whole: 50, site: '50%', rack: 2 },
    seed: String(scenario.seed),
    offline: { wait: '1h' },
  });
  let state = createRollout(plan, { id: 'ro-1', author: 'ann', at: 0 });
  // As the store would give it back.
  state = loadRollout(state.setup, state.rollout, state.waves, state.nodes.values());
  const machines = new Map<string, Machine>(
    fleet.map(({ id, site, rack, epoch }, i) => [
      id,
      {
        ...{
          id,
          site,
          rack: rack ?? '',
          model: i % 4,
          running: '1.0',
          epoch,
          boot: 0,
          bootAt: -1e6,
          upAt: 0,
        },
        ...{ next: null, dead: false, failed: [], seq: 0, ran: false },
      },
    ]),
  );
  const from = 60 + Math.floor(random.next() * 3000);
  const trouble = { from, to: from + 600 + Math.floor(random.next() * 2400) };
  const all = [...machines.values()];
  const victim = all[Math.floor(chosen * all.length)]!;
  const isOn = (now: number, kind: Scenario['outage']) =>
    scenario.outage === kind && now >= trouble.from && now < trouble.to;
  const third = (machine: Machine) => (Number(machine.id.slice(1)) * 7919 + scenario.seed) % 3 === 0;
  const isBad = (machine: Machine) => {
    if (machine.running !== '2.0' && machine.next !== '2.0') return false;
    if (scenario.version === 'one-model') return machine.model === scenario.seed % 4;
    return scenario.version === 'a-third' ? third(machine) : scenario.version !== 'good';
  };
  const ageOf = (machine: Machine, now: number) => now - machine.bootAt;
  const isUp = (machine: Machine, now: number) => {
    if (machine.dead || now < machine.upAt) return false;
    return !(scenario.version === 'silent-later' && isBad(machine) && ageOf(machine, now) > 330);
  };
  const isReached = (machine: Machine, now: number) => {
    if (!isUp(machine, now) || isOn(now, 'uplink')) return false;
    if (isOn(now, 'site') && machine.site === victim.site) return false;
    return !(isOn(now, 'rack') && machine.site === victim.site && machine.rack === victim.rack);
  };
  const isIll = (machine: Machine, now: number) => {
    if (isIllBefore(Number(machine.id.slice(1)))) return true;
    if (isOn(now, 'time-server') && machine.site === victim.site) return true;
    if (!isBad(machine) || machine.running !== '2.0') return false;
    if (scenario.version === 'ill-later') return ageOf(machine, now) > 400;
    return ['ill', 'one-model', 'a-third'].includes(scenario.version);
  };
  const restart = (machine: Machine, version: string, now: number) => {
    machine.next = version;
    machine.upAt = now + 60 + Math.floor(random.next() * 40);
    if (version !== '2.0') return;
    if (scenario.version === 'hangs') machine.dead = true;
    if (scenario.outage === 'dead-machine' && machine === victim) machine.dead = true;
  };
  const rise = (machine: Machine, now: number) => {
    if (machine.next === null || machine.dead || now < machine.upAt) return;
    if (machine.next === '2.0' && scenario.version === 'panics') {
      machine.failed = ['2.0'];
      machine.next = '1.0';
    }
    machine.running = machine.next;
    machine.ran ||= machine.running === '2.0';
    machine.next = null;
    machine.boot += 1;
    machine.bootAt = now;
  };

  const later = new Map<number, EngineEvent[]>();
  const orders = new Map<number, NodeCommand[]>();
  const at = <T>(queue: Map<number, T[]>, when: number, what: T) => {
    const key = Math.ceil(when / TICK) * TICK;
    queue.set(key, [...(queue.get(key) ?? []), what]);
  };
  const carry = (order: NodeCommand, now: number) => {
    const machine = machines.get(order.node)!;
    const { node, epoch } = order;
    if (!isReached(machine, now)) return at<EngineEvent>(later, now, { type: 'unreachable', node });
    const refuse = (code: string, after = 0) =>
      at<EngineEvent>(later, now + after, {
        ...{ type: 'refused', node, epoch, code: 'cannot', why: code, has: epoch, blame: blameOfNode(code) },
      } as EngineEvent);
    if (isOn(now, 'clock') || (scenario.outage === 'node-clock' && machine === victim && now < trouble.to))
      return refuse('ORDER_FROM_FUTURE');
    if (epoch < machine.epoch) return;
    const isNew = epoch > machine.epoch;
    machine.epoch = epoch;
    at<EngineEvent>(later, now, { type: 'begun', node, epoch });
    if (order.kind === 'stage') {
      if (isOn(now, 'boot-server') && machine.site === victim.site) return refuse('STAGE_UNREACHABLE', 60);
      at<EngineEvent>(later, now + 20 + random.next() * 60, { type: 'staged', node, epoch });
    } else if (isNew && order.version !== null && order.version !== machine.running) {
      restart(machine, order.version, now);
    }
  };

  const stops: Stop[] = [];
  let touched = 0;
  let now = 0;
  const asked = new Map<string, number>();
  let controls: string[] = [];
  let events: EngineEvent[] = [nothingAround(), { type: 'start', by: 'ann' }];
  for (; now < HOURS * 3600 && !ENDED.includes(state.rollout.state); now += TICK) {
    for (const machine of all) rise(machine, now);
    for (const order of orders.get(now) ?? []) carry(order, now);
    orders.delete(now);
    const gone =
      now >= trouble.from && victim.running === '2.0' && state.nodes.get(victim.id)?.state === 'done';
    if (gone && scenario.outage === 'switched-off') victim.dead = true;
    if (gone && scenario.outage === 'retired') {
      victim.dead = true;
      events.push({ type: 'removed', node: victim.id, why: 'it is retired' });
    }
    events.push(...(later.get(now) ?? []));
    later.delete(now);
    const ask = (id: string, every: number) => {
      if (now - (asked.get(id) ?? -1e6) < every) return;
      asked.set(id, now);
      const machine = machines.get(id)!;
      if (!isReached(machine, now)) return events.push({ type: 'unreachable', node: id });
      machine.seq += 1;
      const ill = isIll(machine, now);
      const report = {
        ...{ seq: machine.seq, bootId: `${id}-boot-${machine.boot}`, image: machine.running, config: null },
        ...{ epoch: machine.epoch, healthy: !ill, reason: ill ? 'ill' : '', services: null },
        failed: machine.failed,
      };
      return events.push({ type: 'report', node: id, report });
    };
    if (now % 30 === 0) controls = controlsOf(state);
    for (const id of controls) if (state.nodes.get(id)?.state === 'pending') ask(id, 45);
    for (const node of state.nodes.values()) {
      if (UNDER_WAY.includes(node.state)) ask(node.node, TICK);
      else if (node.state === 'done' && state.waves[node.wave]!.state !== 'done') ask(node.node, 45);
      else if (node.state === 'done' && now % 60 === 0) {
        const machine = machines.get(node.node)!;
        const as = !isReached(machine, now) ? 'silent' : isIll(machine, now) ? 'ill' : 'well';
        events.push({ type: 'seen', node: node.node, as });
      } else if (node.state === 'pending' && node.wave === state.rollout.wave && node.heard === null)
        ask(node.node, 45);
    }
    const before = state.rollout;
    const step = advance(state, {
      at: now * 1000,
      elapsed: TICK * 1000,
      events: [...events, { type: 'tick' }],
    });
    apply(state, step);
    events = [];
    const wait = scenario.outage === 'queue' ? 2400 : 5;
    for (const command of step.commands)
      if (command.kind !== 'gate') at(orders, now + TICK + random.next() * wait, command);
    const { rollout } = state;
    touched = Math.max(touched, all.filter((machine) => machine.ran || machine.next === '2.0').length);
    if (rollout.state !== before.state && (rollout.state === 'paused' || rollout.state === 'rolling-back'))
      stops.push({ at: now, state: rollout.state, cause: rollout.held?.cause.kind ?? '', why: rollout.why });
  }
  return { state, took: now, stops, touched: touched / count, trouble };
}
