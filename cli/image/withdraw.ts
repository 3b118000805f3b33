import type { Command } from 'commander';
import { readManifest } from '../../image/build/manifest.ts';
import { release, unrelease } from '../../image/publish/publish.ts';
import { readRepository } from '../../image/publish/repository.ts';
import { withFleet } from '../../orchestrator/fleet/with-fleet.ts';
import { readWithdrawn, reinstate, withdraw } from '../../orchestrator/releases/withdrawn.ts';
import { Consents, recordConsent } from '../../orchestrator/signer/consents.ts';
import { signerFiles } from '../../orchestrator/signer/files.ts';
import { harmless, pathsOf, print, table } from '../context.ts';
import { MEDIA } from '../keys/release.ts';
import { operator } from '../operator/operator.ts';
import { machinesOf, type ReleaseOptions, releaseOptions } from './publish.ts';

type Json = { json?: boolean };
type Media = { keys?: string[] };

/** Which published images new hardware is not given. */
export function register(image: Command): void {
  image
    .command('withdrawn')
    .description('published images that new hardware is not given, and why: rollouts took them back')
    .option('--json')
    .action(async (options: Json, command: Command) => {
      const all = await withFleet(pathsOf(command), (fleet) => readWithdrawn(fleet.redis));
      print(options.json, all, () =>
        Object.keys(all).length === 0
          ? 'no image is withdrawn'
          : table(['VERSION', 'WHY'], Object.entries(all)),
      );
    });

  image
    .command('withdraw <version>')
    .description('no node is given this image or goes back to it any more; nodes that run it keep it')
    .option(...MEDIA)
    .option('--reason <text>', 'why', 'withdrawn by the operator')
    .option('--json')
    .action(async (version: string, options: Json & Media & { reason: string }, command: Command) => {
      const paths = pathsOf(command);
      await readManifest(paths.images, version);
      const { reason, keys: media = [] } = options;
      const by = operator();
      const changed = await withFleet(paths, (fleet) => withdraw(fleet.redis, version, reason, by));
      await recordConsent(signerFiles(paths).consents, { say: 'withdraw', version }, by);
      // New hardware first: that needs no key that may have to be fetched.
      await unrelease([version], { paths, media });
      print(options.json, { version, changed }, () =>
        harmless(`${version} is withdrawn${changed ? '' : ' (as before)'}`),
      );
    });

  releaseOptions(
    image
      .command('reinstate <version>')
      .description('nodes and new hardware are given this image again; say for which machines, as before'),
  )
    .option('--json')
    .action(async (version: string, options: Json & ReleaseOptions, command: Command) => {
      const paths = pathsOf(command);
      const { consents } = signerFiles(paths);
      const by = operator();
      // A fleet that is older than releases has none to add it to.
      if ((await readRepository(paths.releases)) !== null) {
        const how = { paths, media: options.keys ?? [], machines: machinesOf(options) };
        await release(await readManifest(paths.images, version), how);
      }
      const { withdrawn } = await new Consents(consents).current();
      const why = await withFleet(paths, (fleet) => reinstate(fleet.redis, version, by)).catch((error) => {
        // A rollout or a restored database has taken the word back, but not the signer's.
        if (error?.code === 'IMAGE_NOT_WITHDRAWN' && withdrawn.has(version)) return 'by an operator';
        throw error;
      });
      await recordConsent(consents, { say: 'reinstate', version }, by);
      print(options.json, { version, why }, () =>
        harmless(`${version} is given to nodes and new hardware again; it was withdrawn: ${why}`),
      );
    });
}
