/** Installing nodes and rolling images out in a rack, through the same commands and records as an operator. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeRecord } from '../../orchestrator/fleet/record.ts';
import { wantInstalled } from '../../orchestrator/install/want.ts';
import type { RolloutState } from '../../orchestrator/rollout/engine.ts';
import { ENDED } from '../../orchestrator/rollout/record.ts';
import { readState } from '../../orchestrator/rollout/run/stored.ts';
import type { Rack } from './rack.ts';

const MINUTE = 60_000;

/** Short enough to see, long enough that a node under emulation is looked at a few times. */
export const QUICK = {
  bake: { node: '10s', wave: '5s' },
  limits: { whole: 3, site: '100%', rack: 3 },
  attempts: 1,
  timeouts: { activate: '40m', rollback: '40m', stage: '20m', unhealthy: '20m', silent: '20m' },
};

export async function approve(rack: Rack, node: string): Promise<void> {
  const words = await rack.words(await rack.lab.console(node));
  const { id } = await rack.until(node, (record) => record.state === 'pending');
  await rack.fleet((fleet) => fleet.approve(id, words, { actor: 'test', at: Date.now() }, node));
  await rack.until(node, (record) => record.state === 'healthy');
}

/** `installed` waits for its end. */
export async function askInstall(rack: Rack, node: string): Promise<void> {
  const { id } = await rack.record(node);
  await rack.fleet((fleet) => wantInstalled(fleet, id, { actor: 'test', at: Date.now() }));
}

export function installed(rack: Rack, node: string): Promise<NodeRecord> {
  return rack.until(node, (record) => record.state === 'healthy' && record.installedAt !== null, 20 * MINUTE);
}

/** Of a machine that has power and is a stranger: at the end it is a member that runs from its disk. */
export async function approveAndInstall(rack: Rack, node: string): Promise<void> {
  await approve(rack, node);
  await askInstall(rack, node);
  await installed(rack, node);
}

/** @returns the rollout's id */
export async function startRollout(rack: Rack, spec: object): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-spec-'));
  try {
    const file = join(folder, 'spec.json');
    await writeFile(file, JSON.stringify({ ...QUICK, ...spec }));
    const { stdout } = await rack.bootwave('rollout', 'start', file, '--json');
    return (JSON.parse(stdout) as { id: string }).id;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Publishes a configuration as an operator does. */
export async function publishConfig(rack: Rack, version: string, document: object): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-config-'));
  try {
    const file = join(folder, 'config.json');
    await writeFile(file, JSON.stringify(document));
    await rack.bootwave('config', 'publish', file, '--version', version);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export function rolloutOf(rack: Rack, id: string): Promise<RolloutState> {
  return rack.fleet((fleet) => readState(fleet.redis, id));
}

export async function untilRollout(
  rack: Rack,
  id: string,
  holds: (state: RolloutState) => boolean,
  timeout = 30 * MINUTE,
): Promise<RolloutState> {
  const end = performance.now() + timeout;
  for (;;) {
    const state = await rolloutOf(rack, id).catch(() => undefined);
    if (state !== undefined && holds(state)) return state;
    if (performance.now() > end) {
      const nodes = [...(state?.nodes.values() ?? [])].map(
        (step) => `${step.node.slice(0, 10)} ${step.state}: ${step.why}`,
      );
      throw new Error(
        `rollout ${id} is ${state?.rollout.state} (${state?.rollout.why}); ${nodes.join('; ')}`,
      );
    }
    await sleep(500);
  }
}

export const ended = (rack: Rack, id: string): Promise<RolloutState> =>
  untilRollout(rack, id, (state) => ENDED.includes(state.rollout.state));
