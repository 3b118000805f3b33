/** Fleets and specs for tests. */
import { compareVersions } from '../../../formats/version.ts';
import type { PlanNode } from '../../../orchestrator/rollout/node.ts';
import { makePlan, type Plan, type PlanFacts } from '../../../orchestrator/rollout/plan.ts';
import { checkSpec, type Spec } from '../../../orchestrator/rollout/spec.ts';

export function node(id: string, more: Partial<PlanNode> = {}): PlanNode {
  return {
    id,
    name: id,
    site: 'par',
    rack: null,
    role: null,
    labels: {},
    hardware: { manufacturer: 'QEMU', product: 'q35', architecture: 'x64', memory: 2 ** 30 },
    firmware: 'uefi',
    tpm: true,
    state: 'healthy',
    mode: 'installed',
    running: '1.0',
    config: null,
    wanted: '1.0',
    lastSeen: 0,
    failedVersions: [],
    floor: null,
    services: [],
    epoch: 10,
    bootId: `${id}-boot-0`,
    held: null,
    pinned: null,
    rollout: null,
    ...more,
  };
}

/** `count` nodes over `sites` sites, four to a rack. */
export function fleetOf(
  count: number,
  sites: number,
  more: (i: number) => Partial<PlanNode> = () => ({}),
): PlanNode[] {
  return Array.from({ length: count }, (_, i) =>
    node(`n${String(i).padStart(5, '0')}`, {
      site: `s${i % sites}`,
      rack: `r${Math.floor(i / sites / 4)}`,
      ...more(i),
    }),
  );
}

export const FACTS: PlanFacts = {
  graph: {
    versions: [
      { version: '1.0', pcr11: ['pcr-1.0'] },
      { version: '2.0', pcr11: ['pcr-2.0'] },
    ],
    floor: null,
    compare: compareVersions,
  },
  configs: ['c1'],
};

export const WITH_BARRIER: PlanFacts = {
  graph: {
    ...FACTS.graph,
    versions: [...FACTS.graph.versions, { version: '1.5', barrier: true, pcr11: ['pcr-1.5'] }],
  },
};

export function specOf(value: Record<string, unknown>): Spec {
  const checked = checkSpec({ image: '2.0', nodes: { all: true }, ...value });
  if (!checked.ok) throw new Error(JSON.stringify(checked.refusals));
  return checked.spec;
}

export function planOf(fleet: readonly PlanNode[], value: Record<string, unknown>, facts = FACTS): Plan {
  const result = makePlan(fleet, specOf(value), 0, facts);
  if (!result.ok) throw new Error(JSON.stringify(result.refusals));
  return result.plan;
}
