import { type Command, InvalidArgumentError } from 'commander';
import { readManifest } from '../../image/build/manifest.ts';
import { release } from '../../image/publish/publish.ts';
import { ANY_MACHINE, FIRMWARE, type Firmware } from '../../image/release-target.ts';
import { harmless, pathsOf, print } from './context.ts';
import { MEDIA } from './keys-release.ts';

type Options = { keys?: string[]; firmware?: Firmware[]; product?: string[]; json?: boolean };

/** Releasing by hand: where the targets keys are elsewhere, or for some machines only. */
export function register(image: Command): void {
  image
    .command('publish <version>')
    .description('release a built image with the targets keys: from then on nodes may install it')
    .option(...MEDIA)
    .option('--firmware <kind>', 'only for machines that boot by it: uefi or bios', firmware)
    .option('--product <name>', 'only for machines of this SMBIOS product name; may be given again', collect)
    .option('--json')
    .action(async (version: string, options: Options, command: Command) => {
      const paths = pathsOf(command);
      const machines = {
        ...ANY_MACHINE,
        ...(options.firmware === undefined ? {} : { firmware: options.firmware }),
        ...(options.product === undefined ? {} : { products: options.product }),
      };
      const manifest = await readManifest(paths.images, version);
      await release(manifest, { paths, media: options.keys ?? [], machines });
      print(options.json, { version, sha256: manifest.sha256, machines }, () =>
        harmless(`${version} is released`),
      );
    });
}

function firmware(value: string, before: Firmware[] = []): Firmware[] {
  const known = FIRMWARE.find((kind) => kind === value);
  if (known === undefined) throw new InvalidArgumentError(`one of ${FIRMWARE.join(', ')} is needed`);
  return [...before, known];
}

function collect(value: string, before: string[] = []): string[] {
  return [...before, value];
}
