/** Starting a rollout in the demo, and showing each node's steps until it has ended. */
import { setTimeout as sleep } from 'node:timers/promises';
import { BootwaveError } from '../../base/error.ts';
import type { NodeRecord } from '../../orchestrator/fleet/record.ts';
import type { RolloutState } from '../../orchestrator/rollout/engine.ts';
import { ENDED, type RolloutStatus } from '../../orchestrator/rollout/record.ts';
import { create } from '../../orchestrator/rollout/run/operate.ts';
import { planned } from '../../orchestrator/rollout/run/planned.ts';
import { readState } from '../../orchestrator/rollout/run/stored.ts';
import type { Stage } from './stage.ts';

/** Milliseconds: emulated machines restart four times in the longest of these. */
const PATIENCE = 30 * 60_000;

/** How far a node's step has come, for its bar. */
const FAR: Record<string, number> = {
  pending: 0,
  staging: 0.2,
  staged: 0.4,
  activating: 0.6,
  booted: 0.8,
  attested: 0.85,
  baking: 0.9,
  done: 1,
  failed: 0.5,
  'rolling-back': 0.3,
  'rolled-back': 1,
  'taken-back': 1,
};

export async function until(
  { fleet, signal }: Stage,
  name: string,
  holds: (node: NodeRecord) => boolean,
): Promise<NodeRecord> {
  const begun = performance.now();
  for (;;) {
    const node = await fleet.nodes.resolve(name);
    if (holds(node)) return node;
    if (performance.now() - begun > PATIENCE) throw failed(`${name} is ${node.state}: ${node.reason}`);
    await sleep(500, undefined, { signal });
  }
}

export async function expectRollout(
  stage: Stage,
  what: string,
  spec: object,
  end: RolloutStatus,
  meaning: string,
): Promise<void> {
  const { view } = stage;
  const id = await start(stage, spec);
  const { rollout } = await follow(stage, id);
  view.bars([]);
  if (rollout.state !== end) throw failed(`the rollout of ${what} ended as ${rollout.state}: ${rollout.why}`);
  view.say(`The rollout of ${what} ended as '${rollout.state}': ${meaning}.`);
}

async function start({ fleet, paths }: Stage, spec: object): Promise<string> {
  const source = JSON.stringify(spec);
  const now = Date.now();
  const { plan, images } = await planned(paths, fleet, source, now);
  return create(fleet.redis, plan, images, { author: 'demo', at: now, start: true, source });
}

/** Shows each node's steps until the rollout has ended. */
async function follow({ fleet, view, signal }: Stage, id: string): Promise<RolloutState> {
  const begun = performance.now();
  const said = new Map<string, string>();
  for (;;) {
    const state = await readState(fleet.redis, id);
    const steps = [...state.nodes.values()];
    for (const step of steps) {
      if (said.get(step.node) === step.state || step.state === 'pending') continue;
      said.set(step.node, step.state);
      view.say(`${step.name}: ${step.state}${step.why === '' ? '' : `: ${step.why}`}`);
    }
    view.bars(steps.map((step) => ({ name: step.name, fraction: FAR[step.state] ?? 0, text: step.state })));
    if (ENDED.includes(state.rollout.state)) return state;
    if (performance.now() - begun > PATIENCE)
      throw failed(`the rollout ${id} is still ${state.rollout.state}`);
    await sleep(500, undefined, { signal });
  }
}

export function failed(what: string): BootwaveError {
  return new BootwaveError({ code: 'DEMO_FAILED', what });
}

/** Of every rollout that the demo starts: who goes first, and little waiting. */
export const canaryFirst = (canary: string) => ({
  nodes: { all: true },
  waves: [
    { name: 'canary', select: { names: [canary] } },
    { name: 'rest', take: 'rest' },
  ],
  limits: { site: '100%' },
  bake: { node: '10s', wave: '5s' },
  attempts: 1,
});
