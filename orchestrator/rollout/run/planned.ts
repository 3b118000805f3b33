import { BootwaveError } from '../../../base/error.ts';
import type { DataPaths } from '../../../base/paths.ts';
import { Released } from '../../../image/publish/released.ts';
import type { Fleet } from '../../fleet/fleet.ts';
import { knownOperators } from '../../operators/known.ts';
import type { ImageFacts } from '../../releases/published.ts';
import { listLives } from '../../services/lives.ts';
import { Consents } from '../../signer/consents.ts';
import { signerFiles } from '../../signer/files.ts';
import { type Part, parseDocument } from '../document.ts';
import { foresee, makePlan, type Plan } from '../plan.ts';
import { refused } from '../refused.ts';
import { textRead, versionsIn } from '../services.ts';
import type { Refusal, Spec } from '../spec.ts';
import { planNodes, publishedFor } from './facts.ts';
import { orderedBefore, serviceFacts, withInstances } from './service-facts.ts';

export type Planned = {
  plan: Plan;
  images: ImageFacts;
  /** Those of the document; the plan is that of the first. */
  parts: [Part, ...Part[]];
};

/**
 * The plan of a spec for the fleet as it is now.
 * @param text JSON, whole; of a document with several parts the first is planned
 * @param now milliseconds since the epoch
 * @param ending id of a rollout that will have ended by then: its nodes are free
 * @throws BootwaveError `ROLLOUT_NOT_RELEASED`, `ROLLOUT_REFUSED` with every field and reason
 */
export async function planned(
  paths: DataPaths,
  fleet: Fleet,
  text: string,
  now: number,
  ending?: string,
): Promise<Planned> {
  const parts = partsOf(text);
  const [{ spec }, ...later] = parts;
  const { facts, images } = await factsFor(paths, fleet, spec);
  // Nodes keep no list of configurations and services that they refuse; one may have the same name as an image.
  const nodes = await planNodes(fleet, spec.image === undefined ? [] : Object.keys(images));
  const free = nodes.map((node) => (node.rollout === ending ? { ...node, rollout: null } : node));
  const result = makePlan(ending === undefined ? nodes : free, spec, now, facts);
  if (!result.ok) throw refused(result.refusals);
  const { plan } = result;
  if (later.length > 0) plan.later = later.map((part) => part.spec);
  return {
    plan,
    images: spec.services === undefined ? images : { ...orderedBefore(nodes), ...images },
    parts,
  };
}

/** @throws BootwaveError `ROLLOUT_REFUSED` */
export function partsOf(text: string): [Part, ...Part[]] {
  const document = parseDocument(text);
  if (!document.ok) throw refused(document.refusals);
  return document.parts;
}

/**
 * Refuses what would be refused when the turn of these parts comes, as far as it is known now.
 * @param first how many parts of the document stand before them
 * @throws BootwaveError `ROLLOUT_NOT_RELEASED`, `ROLLOUT_REFUSED`
 */
export async function mustBePossible(
  paths: DataPaths,
  fleet: Fleet,
  parts: readonly Part[],
  now: number,
  first: number,
): Promise<void> {
  const refusals: Refusal[] = [];
  const nodes = parts.length === 0 ? [] : await planNodes(fleet, []);
  for (const [index, { spec }] of parts.entries()) {
    const { facts } = await factsFor(paths, fleet, spec);
    const number = first + index;
    const at = number === 0 ? '' : `then[${number - 1}].`;
    for (const { field, reason } of foresee(nodes, spec, now, facts))
      refusals.push({ field: `${at}${field}`, reason });
  }
  if (refusals.length > 0) throw refused(refusals);
}

async function factsFor(paths: DataPaths, fleet: Fleet, spec: Spec) {
  const { withdrawn, withdrawnConfigs } = await new Consents(signerFiles(paths).consents).current();
  const { register } = await knownOperators(paths);
  const people = register.flatMap(({ name, revoked }) => (revoked === null ? [`operator:${name}`] : []));
  // Without certificates everybody is who this machine says they are.
  const services =
    spec.services === undefined
      ? {}
      : {
          services: withInstances(await serviceFacts(paths), versionsIn(textRead(spec.services.join(',')))),
        };
  const said = { withdrawn, withdrawnConfigs, ...services, ...(people.length === 0 ? {} : { people }) };
  const { facts, images } = await publishedFor(fleet, paths.images, spec, said);
  const { image } = spec;
  // Every node would refuse it; refused here, somebody can do something about it.
  if (image !== undefined && images[image] !== undefined) await mustBeReleased(paths, image);
  const lives = spec.services === undefined ? {} : { lives: await listLives(fleet) };
  return { facts: { ...facts, ...lives }, images };
}

async function mustBeReleased({ releases }: DataPaths, image: string): Promise<void> {
  const released = await new Released(releases).images();
  if (released === null || released.has(image)) return;
  throw new BootwaveError({
    code: 'ROLLOUT_NOT_RELEASED',
    what: `image ${image} is published and not released: every node would refuse it`,
    unchanged: 'nothing was started',
    next: `release it with the targets keys: bootwave image publish ${image} --keys DIRECTORY`,
  });
}
