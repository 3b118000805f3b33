import type { Retires } from '../fleet/decisions/lives.ts';
import type { SliceWork } from '../fleet/decisions/slices.ts';
import { aroundOf, NOTHING_SEEN, noCounts } from './down.ts';
import type { Step } from './event.ts';
import { type NodeStep, STEP_STATES, type StepState, UNDER_WAY } from './node-step.ts';
import type { Place, Plan } from './plan.ts';
import type { After, RolloutRecord, RolloutSetup, WaveRecord } from './record.ts';

/** The records of one rollout in memory, with the indexes that make an event cheap. Only `apply` changes it. */
export type RolloutState = {
  /** Of its setup as it was read, SHA-256; absent: it is not from a store. */
  digest?: string;
  readonly setup: RolloutSetup;
  rollout: RolloutRecord;
  readonly waves: WaveRecord[];
  readonly nodes: Map<string, NodeStep>;
  /** Per wave, id by position; an entry counts only while the node's record still has that place. */
  readonly order: string[][];
  /** Id by touch, from 1. */
  readonly touched: string[];
  /** Ids of nodes under way. */
  readonly active: Set<string>;
  /** Ids of nodes that are done but silent or unhealthy. */
  readonly troubled: Set<string>;
};

export function emptyCounts(): Record<StepState, number> {
  return Object.fromEntries(STEP_STATES.map((state) => [state, 0])) as Record<StepState, number>;
}

/** Absent from older records. */
const UNTROUBLED = {
  ...{ excused: null, ill: false, fell: false, told: false, blocked: null, anew: 0 },
  ...{ lost: null, away: null, taken: false, left: false, down: false },
} as const;

export function stepOf(place: Place, wave: number, position: number, term: number): NodeStep {
  return {
    node: place.node,
    name: place.name,
    site: place.site,
    rack: place.rack,
    ...(place.services === undefined ? {} : { services: place.services }),
    how: place.how,
    wave,
    position,
    state: 'pending',
    since: 0,
    why: place.why,
    from: place.from,
    hops: place.hops,
    hop: 0,
    lastGood: place.from,
    epoch: place.epoch,
    term,
    sent: null,
    attempts: 0,
    bootBefore: null,
    bootId: place.bootId,
    seq: 0,
    running: place.from,
    heard: null,
    reachable: place.reachable,
    sick: null,
    flaps: 0,
    touch: 0,
    slot: false,
    failed: false,
    ...UNTROUBLED,
    ill: place.ill,
    down: place.ill || !place.reachable,
  };
}

/** The records of a plan that was accepted; nothing moves until it is started. */
export function createRollout(
  plan: Pick<Plan, 'spec' | 'target' | 'limits' | 'back' | 'pcr11' | 'waves'> &
    Partial<Pick<Plan, 'graph' | 'needs' | 'sizes' | 'down'>>,
  options: {
    id: string;
    author: string;
    person?: readonly string[] | undefined;
    at: number;
    source?: string | undefined;
    after?: After | undefined;
    template?: string | undefined;
    retires?: Retires | undefined;
    slice?: SliceWork | undefined;
  },
): RolloutState {
  const setup: RolloutSetup = {
    id: options.id,
    author: options.author,
    ...(options.person === undefined ? {} : { person: options.person }),
    createdAt: options.at,
    ...(options.source === undefined ? {} : { source: options.source }),
    ...(options.after === undefined ? {} : { after: options.after }),
    ...(options.template === undefined ? {} : { template: options.template }),
    ...(options.retires === undefined ? {} : { retires: options.retires }),
    ...(options.slice === undefined ? {} : { slice: options.slice }),
    spec: plan.spec,
    target: plan.target,
    limits: plan.limits,
    ...(plan.back === undefined ? {} : { back: plan.back.limits }),
    ...(plan.sizes === undefined ? {} : { sizes: plan.sizes }),
    pcr11: plan.pcr11,
    ...(plan.graph === undefined ? {} : { graph: plan.graph }),
    ...(plan.needs === undefined ? {} : { needs: plan.needs }),
    waves: plan.waves.map(({ name, kind, places, disruption, limits }) => ({
      name,
      kind,
      planned: places.length,
      atOnce: disruption.atOnce,
      ...(limits === undefined ? {} : { limits }),
    })),
  };
  const rollout: RolloutRecord = {
    id: options.id,
    rev: 0,
    state: 'planned',
    why: 'planned',
    by: options.author,
    before: null,
    held: null,
    moving: 0,
    marks: [],
    clock: 0,
    term: 0,
    resync: 0,
    listening: 0,
    asking: 0,
    deaf: 0,
    wave: 0,
    inFlight: { whole: 0, site: {}, rack: {} },
    around: aroundOf(null, plan.down ?? noCounts(), noCounts(), plan.sizes),
    failures: 0,
    excused: 0,
    forgiven: 0,
    spent: null,
    touches: 0,
    undo: 0,
    cut: null,
    turned: 0,
    edits: {},
    gone: 0,
    approvals: [],
    endedAt: null,
  };
  const waves = plan.waves.map(
    (wave, index): WaveRecord => ({
      index,
      state: 'waiting',
      since: 0,
      size: wave.places.length,
      counts: { ...emptyCounts(), pending: wave.places.length },
      failures: 0,
      forgiven: 0,
      next: 0,
      end: wave.places.length,
      skipped: false,
      waived: false,
      gate: 0,
      run: 0,
      tries: 0,
      asked: null,
      failedAt: null,
    }),
  );
  const nodes = plan.waves.flatMap((wave, index) =>
    wave.places.map((place, position) => stepOf(place, index, position, 0)),
  );
  return loadRollout(setup, rollout, waves, nodes);
}

/** Absent from older records. */
const UNKEPT = {
  ...{ held: null, marks: [], excused: 0, turned: 0, cut: null, edits: {} },
  ...{ asking: 0, deaf: 0, around: NOTHING_SEEN },
};

/**
 * The state from its stored records, in any order: what an orchestrator does when it takes a rollout over. What was down
 * then may have changed, so that nothing is taken down before somebody has looked again.
 */
export function loadRollout(
  setup: RolloutSetup,
  rollout: RolloutRecord,
  waves: readonly WaveRecord[],
  nodes: Iterable<NodeStep>,
): RolloutState {
  const known = { ...UNKEPT, ...rollout };
  const state: RolloutState = {
    setup,
    rollout: { ...known, around: { ...known.around, fence: null } },
    waves: [...waves]
      .sort((a, b) => a.index - b.index)
      .map((wave) => ({ ...wave, counts: { ...emptyCounts(), ...wave.counts } })),
    nodes: new Map(),
    order: waves.map(() => []),
    touched: [],
    active: new Set(),
    troubled: new Set(),
  };
  for (const node of nodes) index(state, { ...UNTROUBLED, ...node });
  return state;
}

function index(state: RolloutState, node: NodeStep): void {
  state.nodes.set(node.node, node);
  state.order[node.wave]![node.position] = node.node;
  if (node.touch > 0) state.touched[node.touch] = node.node;
  if (UNDER_WAY.includes(node.state)) state.active.add(node.node);
  else state.active.delete(node.node);
  const isTroubled = node.state === 'done' && (node.away !== null || node.sick !== null);
  if (isTroubled) state.troubled.add(node.node);
  else state.troubled.delete(node.node);
}

/** Takes over what was written. Call it only after the write succeeded. */
export function apply(state: RolloutState, step: Step): void {
  state.rollout = step.rollout;
  for (const wave of step.waves) state.waves[wave.index] = wave;
  for (const node of step.nodes) index(state, node);
}
