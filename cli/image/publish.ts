import { type Command, InvalidArgumentError } from 'commander';
import { readManifest } from '../../image/build/manifest.ts';
import { release } from '../../image/publish/publish.ts';
import { ANY_MACHINE, FIRMWARE, type Firmware, type Machines } from '../../protocol/release-target.ts';
import { harmless, pathsOf, print } from '../context.ts';
import { collect, MEDIA } from '../keys/release.ts';

/** What a release takes besides the image. */
export type ReleaseOptions = { keys?: string[]; firmware?: Firmware[]; product?: string[] };

/** Releasing by hand: where the targets keys are elsewhere, or for some machines only. */
export function register(image: Command): void {
  releaseOptions(
    image
      .command('publish <version>')
      .description('release a built image with the targets keys: from then on nodes may install it'),
  )
    .option('--json')
    .action(async (version: string, options: ReleaseOptions & { json?: boolean }, command: Command) => {
      const paths = pathsOf(command);
      const machines = machinesOf(options);
      const manifest = await readManifest(paths.images, version);
      await release(manifest, { paths, media: options.keys ?? [], machines });
      print(options.json, { version, sha256: manifest.sha256, machines }, () =>
        harmless(`${version} is released`),
      );
    });
}

export function releaseOptions(command: Command): Command {
  return command
    .option(...MEDIA)
    .option('--firmware <kind>', 'only for machines that boot by it: uefi or bios', firmware)
    .option('--product <name>', 'only for machines of this SMBIOS product name; may be given again', collect);
}

export function machinesOf(options: ReleaseOptions): Machines {
  return {
    ...ANY_MACHINE,
    ...(options.firmware === undefined ? {} : { firmware: options.firmware }),
    ...(options.product === undefined ? {} : { products: options.product }),
  };
}

function firmware(value: string, before: Firmware[] = []): Firmware[] {
  const known = FIRMWARE.find((kind) => kind === value);
  if (known === undefined) throw new InvalidArgumentError(`one of ${FIRMWARE.join(', ')} is needed`);
  return [...before, known];
}
