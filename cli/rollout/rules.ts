import type { Command } from 'commander';
import { publishedVersions } from '../../image/build/manifest.ts';
import { withFleet } from '../../orchestrator/fleet/with-fleet.ts';
import { readFloor, refuseSinking, setFloor, siteFloors } from '../../orchestrator/releases/floor.ts';
import { forgive } from '../../orchestrator/rollout/run/forgive.ts';
import { Consents, recordConsent } from '../../orchestrator/signer/consents.ts';
import { signerFiles } from '../../orchestrator/signer/files.ts';
import { harmless, pathsOf, print } from '../context.ts';
import { operator } from '../operator/operator.ts';

type Json = { json?: boolean };

/** What holds beyond one rollout. */
export function register(rollout: Command): void {
  rollout
    .command('forgive <node> <version>')
    .description(
      'a node that failed on a version may try it again: plans count on it, and its next order tells it',
    )
    .option('--json')
    .action(async (word: string, version: string, options: Json, command: Command) => {
      const { node, why } = await withFleet(pathsOf(command), async (fleet) => {
        const record = await fleet.nodes.resolve(word);
        return { node: record, why: await forgive(fleet.redis, record, version, operator()) };
      });
      print(options.json, { node: node.id, name: node.name, version, why }, () =>
        harmless(`${node.name} may try ${version} again; it had failed: ${why}`),
      );
    });

  rollout
    .command('floor [version]')
    .description('the oldest image that any rollout may bring, also on the way back; shows it, or sets it')
    .option('--lower', 'it may go down: what was fenced off comes back')
    .option('--none', 'there is to be none (with --lower)')
    .option('--json')
    .action(
      async (
        version: string | undefined,
        options: Json & { lower?: true; none?: true },
        command: Command,
      ) => {
        const paths = pathsOf(command);
        const floor = await withFleet(paths, async (fleet) => {
          if (version !== undefined || options.none === true) {
            const published = await publishedVersions(paths.images);
            const lower = options.lower === true;
            const wanted = options.none === true ? null : (version ?? null);
            const by = operator();
            const { consents } = signerFiles(paths);
            // A database that forgot the floor must not make it sink.
            if (!lower) refuseSinking((await new Consents(consents).current()).floor, wanted);
            await setFloor(fleet.redis, wanted, by, { published, lower });
            await recordConsent(consents, { say: 'floor', version: wanted }, by);
          }
          return { fleet: await readFloor(fleet.redis), sites: Object.fromEntries(await siteFloors(fleet)) };
        });
        print(options.json, floor, () =>
          [
            floor.fleet === null ? 'no release floor' : `no rollout leads below ${floor.fleet}`,
            ...Object.entries(floor.sites).map(([site, at]) => `site ${site}: not below ${at}`),
          ].join('\n'),
        );
      },
    );
}
