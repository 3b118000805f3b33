/**
 * The demo's third act: building-block services reach three nodes in waves, an ill version goes back by itself, and a
 * version that has had its time is replaced on its date.
 */
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { makingIn } from '../../image/publish/bundles.ts';
import { releaseService } from '../../image/publish/services.ts';
import { buildBlock } from '../../image/services/build.ts';
import type { Packed } from '../../image/services/pack.ts';
import { type Manifest, manifestSchema } from '../../protocol/service/manifest.ts';
import { shownServiceVersion } from '../../protocol/service/name.ts';
import { canaryFirst, expectRollout } from './follow.ts';
import type { Stage } from './stage.ts';

/** What the fleet uses itself: one measures, one knows the time, one answers names. */
const OWN = ['node-exporter', 'chrony', 'unbound'] as const;
const ILL = '9.0';

/** @param names of healthy members; the first is the canary */
export async function servicesAct(stage: Stage, names: readonly string[]): Promise<void> {
  const { paths, view } = stage;
  const [canary = ''] = names;
  view.enter('services');
  view.print(
    `\nNow what nodes are there for: services. ${OWN.join(', ')} are built from Debian's packages.\n`,
  );
  await makingIn(paths.bundles, async (folder) => {
    const built: Packed[] = [];
    for (const name of OWN) {
      built.push(await buildBlock(name, join(folder, name), stage.signal));
      await release(stage, built.at(-1)!, folder);
    }
    const first = built.map(({ custom: { service: name, version } }) =>
      shownServiceVersion({ name, version }),
    );
    const meaning = 'all three run on every node, and no node was restarted';
    await expectRollout(stage, first.join(', '), servicesOf(first, canary, '5m'), 'done', meaning);

    view.enter('ill');
    view.say(`Publishing chrony:${ILL}, whose own health check fails, and rolling it out the same way.`);
    const chrony = built[OWN.indexOf('chrony')]!;
    await release(stage, chrony, folder, { version: ILL, manifest: ill(chrony.custom.manifest) });
    const back = `it stopped at ${canary}, which has the former version and its state again`;
    await expectRollout(stage, `chrony:${ILL}`, servicesOf([`chrony:${ILL}`], canary, '10s'), 'failed', back);
  });
}

/** Says that it changes its state, so a copy is made first; and is never well. */
const ill = (manifest: Manifest): Manifest =>
  manifestSchema.parse({
    ...manifest,
    state: manifest.state && { ...manifest.state, migrates: true },
    health: {
      check: { kind: 'exec', command: ['/usr/bin/chronyc', '-h', '127.0.0.1', '-p', '1', 'tracking'] },
      every: 2,
      failures: 2,
      grace: 5,
    },
  });

async function release(
  { paths, view }: Stage,
  { file, sha256, size, custom }: Packed,
  folder: string,
  change: Partial<Packed['custom']> = {},
): Promise<void> {
  const copy = join(folder, 'released');
  await cp(file, copy);
  const now = { ...custom, ...change };
  await releaseService({ file: copy, sha256, size, custom: now }, { paths });
  const shown = shownServiceVersion({ name: now.service, version: now.version });
  view.say(
    `Released ${shown}: ${(size / 1e6).toFixed(1)} MB, read-only, checked block by block while it is read.`,
  );
}

/**
 * As an operator would write it down.
 * @param unhealthy how long a service may be ill; an emulated machine answers late when it has just begun three of them
 */
export const servicesOf = (services: readonly string[], canary: string, unhealthy: string) => ({
  services,
  ...canaryFirst(canary),
  timeouts: { activate: '10m', rollback: '10m', unhealthy, silent: '10m' },
});
