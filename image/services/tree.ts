/**
 * What the layers of an image make, by names alone: judged before anything is unpacked. No entry may be reached
 * through a link that an earlier one made, and no link may lead out. Pure.
 */
import type { TarEntry } from '../../formats/tar.ts';
import type { OciLimits } from './limits.ts';

type Kind = 'directory' | 'file' | 'symlink';
type Entry = { kind: Kind; layer: number; opaque: number; children: Map<string, Entry> };

const KINDS: Readonly<Partial<Record<TarEntry['type'], Kind>>> = {
  directory: 'directory',
  file: 'file',
  hardlink: 'file',
  symlink: 'symlink',
};

/** Names of whiteouts (OCI image layer, "Whiteouts"). */
const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';

const made = (kind: Kind, layer: number): Entry => ({ kind, layer, opaque: -1, children: new Map() });

export class Tree {
  readonly #root = made('directory', -1);
  readonly #limits: Pick<OciLimits, 'depth' | 'path' | 'name' | 'entries'>;
  #count = 0;

  constructor(limits: Pick<OciLimits, 'depth' | 'path' | 'name' | 'entries'>) {
    this.#limits = limits;
  }

  /**
   * @param layer its number, never smaller than before
   * @throws Error that says what may not be
   */
  add(entry: Pick<TarEntry, 'name' | 'type' | 'target'>, layer: number): void {
    this.#count += 1;
    if (this.#count > this.#limits.entries)
      throw new Error(`more than ${this.#limits.entries} entries are in it`);
    const kind = KINDS[entry.type];
    if (kind === undefined)
      throw new Error(`it is a ${entry.type === 'fifo' ? 'fifo' : `${entry.type} device`}`);
    const parts = this.#parts(entry.name);
    const name = parts.pop();
    if (name === undefined) {
      if (kind !== 'directory') throw new Error('it stands in the place of the root');
      return;
    }
    const parent = this.#folder(parts, layer);
    if (name.startsWith(WHITEOUT)) {
      if (kind !== 'file') throw new Error('a whiteout is a file');
      whiteOut(parent, name, layer);
      return;
    }
    if (entry.type === 'hardlink') this.#mustBeFile(entry.target);
    if (kind === 'symlink') mustStayInside(entry.target, parts.length, this.#limits.path);
    const there = parent.children.get(name);
    // A folder over a folder keeps what is in it; everything else takes its place.
    if (there?.kind === 'directory' && kind === 'directory') there.layer = layer;
    else parent.children.set(name, made(kind, layer));
  }

  #parts(path: string): string[] {
    const { depth, path: longest, name: longestName } = this.#limits;
    if (path.startsWith('/')) throw new Error('its path is absolute');
    if (Buffer.byteLength(path) > longest) throw new Error(`its path has more than ${longest} bytes`);
    if (path.includes('\0')) throw new Error('its path has a NUL');
    const parts = path.split('/').filter((part) => part !== '' && part !== '.');
    if (parts.includes('..')) throw new Error('its path goes up (..)');
    if (parts.length > depth) throw new Error(`it lies in more than ${depth} folders`);
    if (parts.some((part) => Buffer.byteLength(part) > longestName))
      throw new Error(`a name in its path has more than ${longestName} bytes`);
    return parts;
  }

  /** Folders that no entry named are made, as the unpacker does. */
  #folder(parts: readonly string[], layer: number): Entry {
    let at = this.#root;
    for (const [i, part] of parts.entries()) {
      let next = at.children.get(part);
      if (next === undefined) {
        if (part.startsWith(WHITEOUT)) throw new Error('its path goes through a whiteout');
        next = made('directory', layer);
        at.children.set(part, next);
      }
      if (next.kind !== 'directory')
        throw new Error(`its path goes through ${parts.slice(0, i + 1).join('/')}, which is a ${next.kind}`);
      at = next;
    }
    return at;
  }

  #mustBeFile(target: string): void {
    const parts = this.#parts(target);
    let at: Entry | undefined = this.#root;
    for (const part of parts) at = at?.children.get(part);
    // Nothing lies below a link or a file.
    if (at?.kind !== 'file')
      throw new Error(`it is a hard link to ${target.slice(0, 200)}, which is no file of the image`);
  }
}

function whiteOut(folder: Entry, name: string, layer: number): void {
  if (name === OPAQUE) {
    if (folder.opaque === layer) throw new Error('its folder is emptied twice');
    folder.opaque = layer;
    prune(folder, layer);
    return;
  }
  const hidden = name.slice(WHITEOUT.length);
  if (hidden === '' || hidden === '.' || hidden === '..' || hidden.startsWith(WHITEOUT))
    throw new Error('it is a whiteout of nothing that can be');
  if (folder.children.get(hidden)?.layer === layer) throw new Error('one layer makes it and takes it away');
  folder.children.delete(hidden);
}

/** Takes away what older layers made; what this layer made stays. */
function prune(folder: Entry, layer: number): void {
  for (const [name, child] of folder.children) {
    if (child.layer < layer) folder.children.delete(name);
    else prune(child, layer);
  }
}

/** Read without looking at what lies on its way: no name on it may lead above the root. */
function mustStayInside(target: string, depth: number, longest: number): void {
  if (target === '') throw new Error('it is a link to nothing');
  if (target.includes('\0') || Buffer.byteLength(target) > longest)
    throw new Error('it is a link to no path');
  let at = target.startsWith('/') ? 0 : depth;
  for (const part of target.split('/')) {
    if (part === '' || part === '.') continue;
    at += part === '..' ? -1 : 1;
    if (at < 0) throw new Error(`it is a link that leads out: ${target.slice(0, 200)}`);
  }
}
