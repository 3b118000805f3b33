import type { Command } from 'commander';
import { BootwaveError, messageOf } from '../../base/error.ts';
import { readManifest } from '../../image/build/manifest.ts';
import { release, unrelease } from '../../image/publish/publish.ts';
import { readRepository } from '../../image/publish/repository.ts';
import { withFleet } from '../fleet/with-fleet.ts';
import { mustBeWithdrawn, readWithdrawn, reinstate, withdraw } from '../rollout/run/withdrawn.ts';
import { signerFiles } from '../signer/files.ts';
import { say, Words } from '../signer/words.ts';
import { harmless, pathsOf, print, table } from './context.ts';
import { machinesOf, type ReleaseOptions, releaseOptions } from './image-publish.ts';
import { MEDIA } from './keys-release.ts';
import { operator } from './operator.ts';

type Json = { json?: boolean };
type Media = { keys?: string[] };

/** The one half is done and holds; to say that nothing was changed would have it done again, or undone. */
function halfWithdrawn(version: string, cause: unknown): BootwaveError {
  const { code, next } =
    cause instanceof BootwaveError ? cause : { code: 'IMAGE_HALF_WITHDRAWN', next: undefined };
  return new BootwaveError({
    code,
    what: `image ${version} is withdrawn: no order and no new hardware gets it; but it is still released: ${whatOf(cause)}`,
    unchanged: 'the release metadata: a node that holds an order for it may still install it',
    next: `${next === undefined ? '' : `${next}; `}then say the same again: bootwave image withdraw ${version}`,
    cause,
  });
}

const whatOf = (error: unknown): string => (error instanceof BootwaveError ? error.what : messageOf(error));

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
      await say(signerFiles(paths).words, { say: 'withdraw', version }, by);
      // New hardware first: that needs no key that may have to be fetched.
      await unrelease([version], { paths, media }).catch((error: unknown) => {
        throw halfWithdrawn(version, error);
      });
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
      const { words } = signerFiles(paths);
      const by = operator();
      const { withdrawn } = await new Words(words).current();
      // Before anything is released: what is not withdrawn is nothing to take back.
      if (!withdrawn.has(version)) await withFleet(paths, (fleet) => mustBeWithdrawn(fleet.redis, version));
      // A fleet that is older than releases has none to add it to.
      if ((await readRepository(paths.releases)) !== null) {
        const how = { paths, media: options.keys ?? [], machines: machinesOf(options) };
        await release(await readManifest(paths.images, version), how);
      }
      const why = await withFleet(paths, (fleet) => reinstate(fleet.redis, version, by)).catch((error) => {
        // A rollout or a restored database has taken the word back, but not the signer's.
        if (error?.code === 'IMAGE_NOT_WITHDRAWN' && withdrawn.has(version)) return 'by an operator';
        throw error;
      });
      await say(words, { say: 'reinstate', version }, by);
      print(options.json, { version, why }, () =>
        harmless(`${version} is given to nodes and new hardware again; it was withdrawn: ${why}`),
      );
    });
}
