import { readlink } from 'node:fs/promises';
import { type TargetCustom, targetCustom } from '../../protocol/release-target.ts';
import { serviceOfTarget } from '../../protocol/service/name.ts';
import { metadataFolder, readRepository } from './repository.ts';

/**
 * The released images by version, from the published metadata; read again when it has changed. Nodes verify the
 * signatures, this does not.
 */
export class Released {
  readonly #releases: string;
  #seen = '';
  #images: ReadonlyMap<string, TargetCustom> | null = null;

  /** @param releases of the data directory */
  constructor(releases: string) {
    this.#releases = releases;
  }

  /** @returns null if nothing was ever released, as in a fleet that is older than releases */
  async images(): Promise<ReadonlyMap<string, TargetCustom> | null> {
    const link = await readlink(metadataFolder(this.#releases)).catch(() => '');
    if (link === this.#seen && link !== '') return this.#images;
    const repository = await readRepository(this.#releases);
    const targets = Object.values(repository?.targets.signed.targets ?? {});
    const files = targets.filter(({ path }) => serviceOfTarget(path) === null);
    const custom = files.map((file) => targetCustom.parse(file.custom).bootwave);
    this.#images = repository && new Map(custom.map((each) => [each.version, each]));
    this.#seen = link;
    return this.#images;
  }
}
