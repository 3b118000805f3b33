import type { Command } from 'commander';
import { buildImage } from '../../image/build/build.ts';
import { imageFile, type Manifest, publishedVersions, readManifest } from '../../image/build/manifest.ts';
import { Released } from '../../image/publish/released.ts';
import { pathsOf, print, table } from '../context.ts';
import { register as publication } from './publish.ts';
import { register as withdrawal } from './withdraw.ts';

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

export function register(program: Command): void {
  const image = program.command('image').description('images: one signed file that a machine boots');

  image
    .command('build')
    .description(
      'build and sign an image, and release it when the targets key is on this machine; needs root',
    )
    .requiredOption('--version <version>', '0-9 a-z . ~ -, for example 1.4.0; each is published once')
    .option('--refresh', 'ask Debian for newer packages now (otherwise once a day)')
    .option('--json')
    .action(async (options: { version: string; refresh?: boolean; json?: boolean }, command: Command) => {
      const paths = pathsOf(command);
      const stop = new AbortController();
      const onSignal = () => stop.abort();
      process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
      let step = '';
      try {
        const manifest = await buildImage({
          paths,
          version: options.version,
          refresh: options.refresh === true,
          signal: stop.signal,
          onWarning: (text) => console.error(`warning: ${text}`),
          onProgress: (progress) => {
            if (progress.step === step) return;
            step = progress.step;
            console.error(`${String(Math.round(progress.fraction * 100)).padStart(3)}%  ${progress.text}`);
          },
        });
        print(options.json, manifest, () => summary(manifest, imageFile(paths.images, manifest.version)));
      } finally {
        process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
      }
    });

  image
    .command('list')
    .description('published images, newest first')
    .option('--json')
    .action(async (options: { json?: boolean }, command: Command) => {
      const { images, releases } = pathsOf(command);
      const released = await new Released(releases).images();
      const manifests: (Manifest & { released: boolean })[] = [];
      for (const version of await publishedVersions(images))
        manifests.push({
          ...(await readManifest(images, version)),
          released: released?.has(version) === true,
        });
      print(options.json, manifests, () =>
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

  publication(image);
  withdrawal(image);
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
