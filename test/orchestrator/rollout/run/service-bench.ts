/** Services that are released, and rollouts of them as a person starts them. */
import { dataPaths } from '../../../../base/paths.ts';
import { releaseService } from '../../../../image/publish/services.ts';
import { create } from '../../../../orchestrator/rollout/run/operate.ts';
import { planned } from '../../../../orchestrator/rollout/run/planned.ts';
import { bundle } from '../../../image/publish/bundle.ts';
import { type Bench, SPEC } from './support.ts';

/** @param services each `owner/name:version` */
export async function release({ root }: Pick<Bench, 'root'>, ...services: string[]): Promise<void> {
  const paths = dataPaths(root);
  for (const service of services) {
    const [name = '', version = ''] = service.split(':');
    await releaseService(await bundle(paths, name, version), { paths });
  }
}

/** @param more of the spec @returns its id */
export async function startServices(
  { fleet, redis, root }: Pick<Bench, 'fleet' | 'redis' | 'root'>,
  services: readonly string[],
  more: object = {},
): Promise<string> {
  const { image: _, gates: __, ...spec } = SPEC;
  const waves = [{ name: 'canary', take: 2 }, { take: 'rest' }];
  const text = JSON.stringify({ ...spec, services, waves, ...more });
  const { plan, images } = await planned(dataPaths(root), fleet, text, Date.now());
  return create(redis, plan, images, { author: 'operator:ann', at: Date.now(), start: true, source: text });
}

/** What each kind of node runs, once. */
export const running = ({ nodes }: Pick<Bench, 'nodes'>): string[] => [
  ...new Set(
    nodes.map(({ services }) =>
      services
        .status()
        .map(({ name, version, health }) => `${name}:${version} ${health}`)
        .sort()
        .join(', '),
    ),
  ),
];
