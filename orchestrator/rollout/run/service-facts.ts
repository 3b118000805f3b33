/** What a plan for services is made from: what is released now, and what nodes were given before. */
import { withdrawnServices } from '../../../image/publish/once.ts';
import type { PublishOptions } from '../../../image/publish/publish.ts';
import { releasedServices } from '../../../image/publish/services.ts';
import { bundleOf, parseInstanceVersion, serviceOfTarget, sliceOf } from '../../../protocol/service/name.ts';
import type { Share } from '../../fleet/decisions/slices.ts';
import type { ImageFacts } from '../../releases/published.ts';
import type { PlanNode } from '../node.ts';
import { type Needs, textOf } from '../services.ts';

export type ServiceFacts = {
  /** All by `owner/name:version`. */
  needs: Record<string, Needs>;
  withdrawnServices: ReadonlyMap<string, string>;
  bundles: ImageFacts;
  /** What one instance may take of a node, with its own ports. */
  takes: Record<string, Share>;
};

/** A version that nodes could not fetch, or would not believe, counts as withdrawn, with the reason. */
export async function serviceFacts(paths: PublishOptions['paths'], now = Date.now()): Promise<ServiceFacts> {
  const facts = { needs: {} as ServiceFacts['needs'], withdrawnServices: new Map<string, string>() };
  const bundles: Record<string, ImageFacts[string]> = {};
  const takes: ServiceFacts['takes'] = {};
  for (const target of (await withdrawnServices(paths.releases)).keys()) {
    const service = serviceOfTarget(target);
    if (service !== null) facts.withdrawnServices.set(textOf([service]), 'is withdrawn');
  }
  for (const { name, version, sha256, size, custom, stored, expires, by } of await releasedServices(paths)) {
    const key = textOf([{ name, version }]);
    const { dependsOn, architecture, limits, state, ports } = custom.manifest;
    facts.needs[key] = { dependsOn, architecture, memory: limits.memory };
    bundles[key] = { sha256, size };
    takes[key] = {
      ...{ cpu: limits.cpu, memory: limits.memory, disk: state?.bytes ?? 0 },
      ports: ports.map(({ protocol, port }) => `${protocol}/${port}`),
    };
    facts.withdrawnServices.delete(key);
    if (!stored) facts.withdrawnServices.set(key, 'has no bundle on this server: release it again');
    if (Date.parse(expires) <= now)
      facts.withdrawnServices.set(key, `was released by ${by} until ${expires}: it has to be signed anew`);
  }
  return { ...facts, bundles, takes };
}

/**
 * With what these instances of slices are made of, under their own names: it is that of their services.
 * @param instances as `web/shop@probe:1.4`
 */
export function withInstances(facts: ServiceFacts, instances: Iterable<string>): ServiceFacts {
  const withdrawnServices = new Map(facts.withdrawnServices);
  const [needs, bundles, takes] = [{ ...facts.needs }, { ...facts.bundles }, { ...facts.takes }];
  for (const key of instances) {
    const found = parseInstanceVersion(key);
    if (found === null || sliceOf(found.name) === null) continue;
    const of = textOf([bundleOf(found)]);
    const why = facts.withdrawnServices.get(of);
    if (why !== undefined) withdrawnServices.set(key, why);
    if (facts.needs[of] !== undefined) needs[key] = facts.needs[of];
    if (facts.bundles[of] !== undefined) bundles[key] = facts.bundles[of];
    if (facts.takes[of] !== undefined) takes[key] = facts.takes[of];
  }
  return { needs, bundles, takes, withdrawnServices };
}

/** The bundles that nodes were ordered last: the way back to them, also where they are not released any more. */
export function orderedBefore(nodes: readonly PlanNode[]): ImageFacts {
  return Object.fromEntries(
    nodes.flatMap(({ serving = {} }) =>
      Object.entries(serving).map(([name, { version, sha256, size }]) => [
        textOf([{ name, version }]),
        { sha256, size },
      ]),
    ),
  );
}
