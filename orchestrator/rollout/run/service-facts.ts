/** What a plan for services is made from: what is released now, and what nodes were given before. */
import { withdrawnServices } from '../../../image/publish/once.ts';
import type { PublishOptions } from '../../../image/publish/publish.ts';
import { releasedServices } from '../../../image/publish/services.ts';
import { serviceOfTarget } from '../../../protocol/service/name.ts';
import type { ImageFacts } from '../../releases/published.ts';
import type { PlanNode } from '../node.ts';
import { type Needs, textOf } from '../services.ts';

export type ServiceFacts = {
  /** All three by `owner/name:version`. */
  needs: Record<string, Needs>;
  withdrawnServices: ReadonlyMap<string, string>;
  bundles: ImageFacts;
};

/** A version that nodes could not fetch, or would not believe, counts as withdrawn, with the reason. */
export async function serviceFacts(paths: PublishOptions['paths'], now = Date.now()): Promise<ServiceFacts> {
  const facts = { needs: {} as ServiceFacts['needs'], withdrawnServices: new Map<string, string>() };
  const bundles: Record<string, ImageFacts[string]> = {};
  for (const target of (await withdrawnServices(paths.releases)).keys()) {
    const service = serviceOfTarget(target);
    if (service !== null) facts.withdrawnServices.set(textOf([service]), 'is withdrawn');
  }
  for (const { name, version, sha256, size, custom, stored, expires, by } of await releasedServices(paths)) {
    const key = textOf([{ name, version }]);
    const { dependsOn, architecture, limits } = custom.manifest;
    facts.needs[key] = { dependsOn, architecture, memory: limits.memory };
    bundles[key] = { sha256, size };
    facts.withdrawnServices.delete(key);
    if (!stored) facts.withdrawnServices.set(key, 'has no bundle on this server: release it again');
    if (Date.parse(expires) <= now)
      facts.withdrawnServices.set(key, `was released by ${by} until ${expires}: it has to be signed anew`);
  }
  return { ...facts, bundles };
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
