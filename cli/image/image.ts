import type { Command } from 'commander';
import type { Manifest } from '../../image/build/manifest.ts';
import type { BuildTold } from '../../orchestrator/operations/image/build.ts';
import * as image from '../../orchestrator/operations/image/declared.ts';
import { megabytes, pathsOf, print, table } from '../context.ts';
import { call, here } from '../operate.ts';
import { commandFor, type Json } from '../option.ts';
import { register as comparison } from './compare.ts';
import { register as publication } from './publish.ts';
import { register as withdrawal } from './withdraw.ts';

type Asked = { version: string; refresh?: boolean; barrier?: boolean; minSource?: string };

export function register(group: Command): void {
  commandFor(group, image.build)
    .requiredOption('--version <version>', '0-9 a-z . ~ -, for example 1.4.0; each is published once')
    .option('--refresh', 'ask Debian for newer packages now (otherwise once a day)')
    .option('--barrier', 'nodes with an older image run this one before they go on to a newer one')
    .option('--min-source <version>', 'the oldest image from which nodes go straight to this one')
    .action(async ({ json, refresh = false, ...asked }: Json & Asked, command: Command) => {
      const manifest = await here(command, image.build, { ...asked, refresh }, teller());
      const { images } = pathsOf(command);
      print(json, manifest, () => summary(manifest, `${images}/bootwave_${manifest.version}.efi`));
    });

  commandFor(group, image.list).action(async ({ json }: Json, command: Command) => {
    const manifests = await call(command, image.list, {});
    print(json, manifests, () =>
      manifests.length === 0
        ? "no image is published; 'bootwave image build --version 1.0.0' makes one"
        : table(
            ['VERSION', 'RELEASED', 'SIZE', 'KERNEL', 'PCR 11', 'SHA-256'],
            manifests.map((m) => [
              m.version,
              m.released ? 'yes' : 'no',
              megabytes(m.size),
              m.kernel,
              m.pcr11.slice(0, 16),
              m.sha256.slice(0, 16),
            ]),
          ),
    );
  });

  comparison(group);
  publication(group);
  withdrawal(group);
}

/** Each step once, however often its progress is reported. */
function teller(): (told: unknown) => void {
  let step = '';
  return (told) => {
    const progress = told as BuildTold;
    if ('warning' in progress) return console.error(`warning: ${progress.warning}`);
    if (progress.step === step) return;
    step = progress.step;
    console.error(`${String(Math.round(progress.fraction * 100)).padStart(3)}%  ${progress.text}`);
  };
}

function listsText({ secureBootLists: lists }: Manifest): string[] {
  if (lists === undefined) return [];
  const generation = `Secure Boot lists of generation ${lists.generation}`;
  if (lists.revokes.length === 0) return [generation];
  return [`${generation}: firmware that gets them no longer starts ${lists.revokes.join(', ')}`];
}

function summary(manifest: Manifest, file: string): string {
  const parts = manifest.parts.map((part) => [
    part.name,
    megabytes(part.bytes),
    `${((part.bytes / manifest.size) * 100).toFixed(1)} %`,
  ]);
  const drivers = manifest.firmwareMissing.map((entry) => entry.module);
  return [
    `published ${file}`,
    '',
    table(['PART', 'SIZE', 'SHARE'], [...parts, ['all', megabytes(manifest.size), '100 %']]),
    '',
    `kernel ${manifest.kernel}, ${manifest.packages.length} Debian packages`,
    `PCR 11 ${manifest.pcr11}`,
    ...listsText(manifest),
    `${drivers.length} drivers ask for firmware that Debian main does not have (see docs/image.md):`,
    `  ${drivers.join(' ')}`,
  ].join('\n');
}
