import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError } from '../../base/error.ts';
import { writeFileAtomic } from '../../base/files.ts';
import { mustRun } from '../../base/run.ts';
import { DEFAULT_SOURCES, KERNEL_PACKAGE, ROOT_PACKAGES } from './packages.ts';

export type Package = { name: string; version: string };

/** Exactly the packages of which a root would be made, from the archive in its present state. */
export type Resolution = {
  sources: string;
  /** Sorted by name. */
  packages: Package[];
  kernel: Package;
  /** Milliseconds since the epoch: when the archive was asked. */
  at: number;
};

/** The archive is asked again after this many milliseconds, so that a build does not age without anyone noticing. */
const RESOLUTION_LIFE = 24 * 3600_000;

export async function aptSources(): Promise<string> {
  const file = process.env.BOOTWAVE_APT_SOURCES;
  return file === undefined || file === '' ? DEFAULT_SOURCES : await readFile(file, 'utf8');
}

/** An apt of our own: its lists, its sources, an empty package state, nothing of the host's. */
export class Apt {
  readonly #folder: string;
  readonly #sources: string;
  readonly #signal: AbortSignal | undefined;

  constructor(folder: string, sources: string, signal?: AbortSignal) {
    this.#folder = folder;
    this.#sources = sources;
    this.#signal = signal;
  }

  async prepare(): Promise<void> {
    const at = (...parts: string[]) => join(this.#folder, ...parts);
    for (const folder of [
      'etc/preferences.d',
      'etc/apt.conf.d',
      'state/lists/partial',
      'cache/archives/partial',
    ])
      await mkdir(at(folder), { recursive: true });
    await writeFile(at('status'), '');
    await writeFile(at('etc/sources.list'), this.#sources);
    // Network settings of the host (a proxy, say) stay in force: the host's apt.conf.d is read first.
    await writeFile(
      at('apt.conf'),
      [
        `Dir::Etc "${at('etc')}";`,
        `Dir::Etc::Parts "/etc/apt/apt.conf.d";`,
        `Dir::Etc::Trusted "/etc/apt/trusted.gpg";`,
        `Dir::Etc::TrustedParts "/etc/apt/trusted.gpg.d";`,
        `Dir::State "${at('state')}";`,
        `Dir::State::Status "${at('status')}";`,
        `Dir::Cache "${at('cache')}";`,
        'APT::Architecture "amd64";',
        'APT::Architectures { "amd64"; };',
        'APT::Install-Recommends "false";',
        'APT::Sandbox::User "root";',
        'Acquire::Languages "none";',
      ].join('\n'),
    );
  }

  async run(program: string, args: string[], cwd?: string): Promise<string> {
    const env = { ...process.env, APT_CONFIG: join(this.#folder, 'apt.conf'), LC_ALL: 'C' };
    const { stdout } = await mustRun(program, args, {
      env,
      ...(cwd === undefined ? {} : { cwd }),
      ...(this.#signal === undefined ? {} : { signal: this.#signal }),
    });
    return stdout;
  }

  /**
   * Asks the archive what an installation of these brings, with all that they depend on.
   * @param wanted names, or patterns of apt
   * @throws BootwaveError `ARCHIVE_UNREACHABLE`
   */
  async installs(wanted: readonly string[]): Promise<Package[]> {
    try {
      await this.run('apt-get', ['update', '-qq', '--error-on=any']);
    } catch (cause) {
      throw new BootwaveError({
        code: 'ARCHIVE_UNREACHABLE',
        what: 'the Debian archive could not be asked for its packages',
        unchanged: 'nothing was published',
        next: 'check the network and the proxy, or name a mirror: BOOTWAVE_APT_SOURCES=<sources.list file>',
        cause,
      });
    }
    const simulated = await this.run('apt-get', ['-qq', '-s', 'install', ...wanted]);
    return [...simulated.matchAll(/^Inst (\S+) (?:\[\S+\] )?\((\S+) /gm)].map(([, name, version]) => ({
      name: name!,
      version: version!,
    }));
  }

  /** @throws BootwaveError `ARCHIVE_UNREACHABLE`, `ARCHIVE_INCOMPLETE` */
  async resolve(now: number): Promise<Resolution> {
    const packages = await this.installs(['?essential', ...Object.keys(ROOT_PACKAGES)]);
    const depends = await this.run('apt-cache', ['depends', KERNEL_PACKAGE]);
    const kernel = /Depends: (linux-image-\d\S+)/.exec(depends)?.[1] ?? '';
    const policy = await this.run('apt-cache', ['policy', kernel]);
    const version = /Candidate: (\S+)/.exec(policy)?.[1] ?? '';
    if (packages.length === 0 || kernel === '' || version === '') {
      throw new BootwaveError({
        code: 'ARCHIVE_INCOMPLETE',
        what: `the package sources do not offer ${kernel === '' ? KERNEL_PACKAGE : 'the root packages'}`,
        unchanged: 'nothing was published',
        next: 'check BOOTWAVE_APT_SOURCES: it must name Debian 12 main with updates and security',
      });
    }
    packages.sort((a, b) => (a.name < b.name ? -1 : 1));
    return { sources: this.#sources, packages, kernel: { name: kernel, version }, at: now };
  }

  /** Downloads one package, checked by apt against the signed archive; the path of the .deb. */
  async download(wanted: Package, folder: string): Promise<string> {
    await mkdir(folder, { recursive: true });
    await this.run('apt-get', ['-qq', 'download', `${wanted.name}=${wanted.version}`], folder);
    const found = (await readdir(folder)).find((file) => file.startsWith(`${wanted.name}_`));
    if (found === undefined)
      throw new BootwaveError({ code: 'ARCHIVE_INCOMPLETE', what: `${wanted.name} was not downloaded` });
    return join(folder, found);
  }
}

/** Digest of names and versions only, so that asking the archive again without news changes nothing. */
export function resolutionDigest(resolution: Resolution): string {
  const { packages, kernel } = resolution;
  return createHash('sha256').update(JSON.stringify({ packages, kernel })).digest('hex');
}

/**
 * The last answer of the archive while it is fresh, else a new one.
 * @param force ask the archive whatever the last answer's age
 * @returns `stale` when the archive could not be asked and an old answer is used
 */
export async function currentResolution(
  apt: Apt,
  file: string,
  sources: string,
  force: boolean,
): Promise<{ resolution: Resolution; stale: boolean }> {
  const now = Date.now();
  const last = await readResolution(file, sources);
  if (!force && last !== undefined && now - last.at < RESOLUTION_LIFE && last.at <= now)
    return { resolution: last, stale: false };
  await apt.prepare();
  try {
    const resolution = await apt.resolve(now);
    await writeFileAtomic(file, JSON.stringify(resolution), 0o644);
    return { resolution, stale: false };
  } catch (error) {
    if (
      !force &&
      last !== undefined &&
      error instanceof BootwaveError &&
      error.code === 'ARCHIVE_UNREACHABLE'
    )
      return { resolution: last, stale: true };
    throw error;
  }
}

async function readResolution(file: string, sources: string): Promise<Resolution | undefined> {
  try {
    const resolution = JSON.parse(await readFile(file, 'utf8')) as Resolution;
    // An answer from before a package was added to the image does not contain that package.
    const named = new Set(resolution.packages.map(({ name }) => name));
    const complete = Object.keys(ROOT_PACKAGES).every((name) => named.has(name));
    return complete && resolution.sources === sources ? resolution : undefined;
  } catch {
    return undefined;
  }
}

/**
 * When a .deb was built, in seconds since the epoch: the time in its first ar(5) header, which Debian's builders set
 * from the changelog. It dates everything in the image, so the same packages always give the same times.
 */
export async function packageDate(deb: string): Promise<number> {
  const head = (await readFile(deb)).subarray(0, 68).toString('latin1');
  const seconds = Number(head.slice(8 + 16, 8 + 28));
  return Number.isInteger(seconds) && seconds > 0 ? seconds : Math.floor((await stat(deb)).mtimeMs / 1000);
}
