import { shownName } from '../../protocol/service/name.ts';
import type { Life } from '../fleet/decisions/lives.ts';
import type { PlanNode } from './node.ts';
import { type NeedsOf, projected, readWish, shownVersion, textOf, unfit, wishesIn } from './services.ts';
import type { Spec } from './spec.ts';
import { type NoPath, type Path, pathTo, refusalOf, type VersionGraph } from './versions.ts';

export type SkipCode =
  | NoPath
  | 'already-there'
  | 'retired'
  | 'not-a-member'
  | 'quarantined'
  | 'being-installed'
  | 'held'
  | 'pinned'
  | 'in-another-rollout'
  | 'failed-this-version'
  | 'barrier-ahead'
  | 'revoked-on-the-way'
  | 'netboot'
  | 'cannot-show-pcr11'
  | 'does-not-fit'
  | 'dependency';

export type Skip = { node: string; name: string; site: string; code: SkipCode; why: string };

/** A node that is to be moved, before it has its wave. */
export type Candidate = {
  node: PlanNode;
  /** What it runs now: the version of the kind (image, configuration or services) that the rollout changes. */
  from: string | null;
  hops: string[];
  /** Why it goes to the tail wave; null for a regular wave. */
  late: string | null;
};

/** What a plan needs beside fleet and spec. */
export type PlanFacts = {
  graph: VersionGraph;
  /** Configuration versions that exist; only asked for a config rollout. */
  configs?: readonly string[];
  /** Those that are withdrawn, and why. */
  withdrawnConfigs?: ReadonlyMap<string, string>;
  /** Of a rollout of services: what is released, and why a version that was is not any more. */
  needs?: NeedsOf;
  withdrawnServices?: ReadonlyMap<string, string>;
  /** What was decided about the life of versions of services, by `owner/name:version`. */
  lives?: ReadonlyMap<string, Life>;
  /** Operators that can approve (`operator:NAME`); left out: nobody is registered, so anybody may. */
  people?: readonly string[];
};

/** What the rollout changes, and to which version. */
export type Target = { of: 'image' | 'config' | 'service'; version: string };

export function targetOf(spec: Spec): Target {
  if (spec.services !== undefined)
    return { of: 'service', version: textOf(spec.services.flatMap((text) => readWish(text) ?? [])) };
  return spec.image !== undefined
    ? { of: 'image', version: spec.image }
    : { of: 'config', version: spec.config ?? '' };
}

/** Of a node's services, those that the rollout moves are all that it disturbs. */
export function disturbing<T extends Candidate>(move: T, { of, version }: Target): T {
  if (of !== 'service') return move;
  const names = new Set(wishesIn(version).map(({ name }) => shownName(name)));
  const services = move.node.services.filter((name) => names.has(name));
  return { ...move, node: { ...move.node, services } };
}

/** What a node has now of what the rollout moves. */
function nowOf(node: PlanNode, { of, version }: Target): string | null {
  if (of === 'service') return projected(version, node.serving ?? {});
  return of === 'image' ? node.running : node.config;
}

/** Whether it would move a node away from the image that it is pinned to. */
export function leavesPin(target: Target, pinned: { image: string } | null): boolean {
  return target.of === 'image' && pinned !== null && pinned.image !== target.version;
}

/** Remembers paths: a fleet runs few versions on many nodes. */
export class Paths {
  readonly #known = new Map<string, Path>();
  readonly graph: VersionGraph;
  readonly #target: string;
  readonly #downgrade: boolean;

  constructor(graph: VersionGraph, target: string, downgrade: boolean) {
    this.graph = graph;
    this.#target = target;
    this.#downgrade = downgrade;
  }

  from(version: string | null, floor: string | null): Path {
    const key = `${version ?? ''}\0${floor ?? ''}`;
    let path = this.#known.get(key);
    if (path === undefined) {
      path = pathTo(this.graph, version, this.#target, { downgrade: this.#downgrade, floor });
      this.#known.set(key, path);
    }
    return path;
  }
}

/** States whose nodes can get orders; `unreachable` ones wait in the tail wave. */
const LEFT_OUT: Partial<Record<PlanNode['state'], { code: SkipCode; why: string }>> = {
  discovered: { code: 'not-a-member', why: 'it was seen but never approved' },
  pending: { code: 'not-a-member', why: 'it waits for approval' },
  enrolled: { code: 'being-installed', why: 'it is approved but not up yet' },
  installing: { code: 'being-installed', why: 'it is being installed' },
  quarantined: { code: 'quarantined', why: 'it is quarantined; recovery owns it' },
  recovering: { code: 'quarantined', why: 'it is being recovered' },
  retired: { code: 'retired', why: 'it is retired' },
};

/** The role of a selected node in this rollout: changed, or left out and why. Pure; also asked for late joiners. */
export function placeOf(
  node: PlanNode,
  spec: Spec,
  target: Target,
  paths: Paths,
  needs: NeedsOf = {},
): { move: Candidate } | { skip: Skip } {
  const skip = (code: SkipCode, why: string) => ({
    skip: { node: node.id, name: node.name, site: node.site, code, why },
  });
  const left = LEFT_OUT[node.state];
  if (left !== undefined) return skip(left.code, left.why);
  const from = nowOf(node, target);
  if (from === target.version)
    return skip('already-there', `it runs ${shownVersion(target.version)} already`);
  if (node.held !== null) return skip('held', node.held);
  const { pinned } = node;
  if (pinned !== null && leavesPin(target, pinned)) {
    const gone = refusalOf(paths.graph, pinned.image);
    const more = gone === null ? '' : `; but ${gone.why}: 'bootwave node unpin ${node.name}' lets it go`;
    return skip('pinned', `${pinned.why}${more}`);
  }
  if (node.rollout !== null) return skip('in-another-rollout', `rollout ${node.rollout} has it`);
  const failed = node.failedVersions.find((failure) => failure.version === target.version);
  if (failed !== undefined) {
    return skip('failed-this-version', `it failed on ${target.version} before: ${failed.why}`);
  }
  if (node.mode === 'netboot' && spec.netboot === 'skip' && target.of === 'image') {
    return skip(
      'netboot',
      `it boots from the network (${node.firmware.toUpperCase()}), which the spec leaves out`,
    );
  }
  if (
    target.of === 'image' &&
    !node.tpm &&
    spec.gates.some((gate) => gate.kind === 'pcr11' || gate.kind === 'attested')
  ) {
    return skip('cannot-show-pcr11', 'it has no TPM to pass the measurement gate with');
  }
  const lacking =
    target.of === 'service'
      ? (unfit(target.version, needs, node.hardware) ?? newWorkFor(node, target.version))
      : null;
  if (lacking !== null) return skip('does-not-fit', lacking);
  let hops = [target.version];
  if (target.of === 'image') {
    const path = paths.from(from, node.floor);
    if (!path.ok) return skip(path.code, path.why);
    hops = path.hops;
    if (hops.length > 1 && spec.barriers === 'skip') {
      return skip(
        'barrier-ahead',
        `it runs ${from} and must pass through ${hops.slice(0, -1).join(', ')} first`,
      );
    }
    const burnt = node.failedVersions.find((failure) => hops.includes(failure.version));
    if (burnt !== undefined) {
      return skip(
        'failed-this-version',
        `it must pass through ${burnt.version} and failed on it: ${burnt.why}`,
      );
    }
  }
  return { move: { node, from, hops, late: lateness(node) } };
}

/** What it runs already goes on, and is kept current; a machine that falls short of its profile is given no more. */
function newWorkFor({ shortfall = null, serving = {} }: PlanNode, version: string): string | null {
  const isNew = wishesIn(version).some((wish) => wish.version !== null && serving[wish.name] === undefined);
  return isNew ? shortfall : null;
}

function lateness(node: PlanNode): string | null {
  if (node.state === 'unreachable') return 'offline: it goes when it is back';
  if (node.state === 'degraded') return 'degraded: its troubles would be taken for the new version';
  if (node.state === 'updating') return 'busy with an update of its own';
  return null;
}
