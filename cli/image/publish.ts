import { type Command, InvalidArgumentError } from 'commander';
import * as image from '../../orchestrator/operations/image/declared.ts';
import { FIRMWARE, type Firmware } from '../../protocol/release-target.ts';
import { harmless, print } from '../context.ts';
import { call } from '../operate.ts';
import { collect, commandFor, foldersOf, type Json, MEDIA } from '../option.ts';

/** What a release takes besides the image. */
export type ReleaseOptions = { keys?: string[]; firmware?: Firmware[]; product?: string[] };

/** Releasing by hand: if the targets keys are elsewhere, or for some machines only. */
export function register(group: Command): void {
  releaseOptions(commandFor(group, image.publish, '<version>')).action(
    async (version: string, options: ReleaseOptions & Json, command: Command) => {
      const done = await call(command, image.publish, { version, ...releaseIn(options) });
      print(options.json, done, () => harmless(`${version} is released`));
    },
  );
}

export function releaseOptions(command: Command): Command {
  return command
    .option(...MEDIA)
    .option('--firmware <kind>', 'only for machines that boot by it: uefi or bios', firmware)
    .option('--product <name>', 'only for machines of this SMBIOS product name; may be given again', collect);
}

export const releaseIn = ({ keys, firmware, product: products }: ReleaseOptions) => ({
  ...{ keys: foldersOf(keys), firmware, products },
});

function firmware(value: string, before: Firmware[] = []): Firmware[] {
  const known = FIRMWARE.find((kind) => kind === value);
  if (known === undefined) throw new InvalidArgumentError(`one of ${FIRMWARE.join(', ')} is needed`);
  return [...before, known];
}
