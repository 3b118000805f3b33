import { BootwaveError } from '../../../base/error.ts';
import type { DataPaths } from '../../../base/paths.ts';
import { Released } from '../../../image/publish/released.ts';
import type { Fleet } from '../../fleet/fleet.ts';
import { knownOperators } from '../../operators/known.ts';
import type { ImageFacts } from '../../releases/published.ts';
import { makePlan, type Plan } from '../../rollout/plan.ts';
import { planNodes, publishedFor } from '../../rollout/run/facts.ts';
import { parseSpec } from '../../rollout/spec.ts';
import { Consents } from '../../signer/consents.ts';
import { signerFiles } from '../../signer/files.ts';
import { refused } from './refused.ts';

/**
 * The plan of a spec for the fleet as it is now.
 * @param text JSON, whole
 * @param now milliseconds since the epoch
 * @throws BootwaveError `ROLLOUT_NOT_RELEASED`, `ROLLOUT_REFUSED` with every field and reason
 */
export async function planned(
  paths: DataPaths,
  fleet: Fleet,
  text: string,
  now: number,
): Promise<{ plan: Plan; images: ImageFacts }> {
  const checked = parseSpec(text);
  if (!checked.ok) throw refused(checked.refusals);
  const { withdrawn } = await new Consents(signerFiles(paths).consents).current();
  const { register } = await knownOperators(paths);
  const people = register.flatMap(({ name, revoked }) => (revoked === null ? [`operator:${name}`] : []));
  // Without certificates everybody is who this machine says they are.
  const said = people.length === 0 ? { withdrawn } : { withdrawn, people };
  const { facts, images } = await publishedFor(fleet, paths.images, checked.spec, said);
  const { image } = checked.spec;
  // Every node would refuse it; refused here, somebody can do something about it.
  if (image !== undefined && images[image] !== undefined) await mustBeReleased(paths, image);
  // Nodes keep no list of configurations that they refuse; a configuration may have the same name as an image.
  const nodes = await planNodes(fleet, checked.spec.config === undefined ? Object.keys(images) : []);
  const result = makePlan(nodes, checked.spec, now, facts);
  if (!result.ok) throw refused(result.refusals);
  return { plan: result.plan, images };
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
