import test from 'ava';
import fc from 'fast-check';
import type { TarEntry } from '../../../formats/tar.ts';
import { OCI_LIMITS } from '../../../image/services/limits.ts';
import { Tree } from '../../../image/services/tree.ts';

type Entry = Pick<TarEntry, 'name' | 'type' | 'target'>;
const file = (name: string): Entry => ({ name, type: 'file', target: '' });
const dir = (name: string): Entry => ({ name, type: 'directory', target: '' });
const link = (name: string, target: string): Entry => ({ name, type: 'symlink', target });
const hard = (name: string, target: string): Entry => ({ name, type: 'hardlink', target });

const build = (...layers: Entry[][]) => {
  const tree = new Tree(OCI_LIMITS);
  for (const [i, layer] of layers.entries()) for (const entry of layer) tree.add(entry, i);
};

const refused: [string, RegExp, Entry[][]][] = [
  ['an absolute path', /absolute/, [[file('/etc/passwd')]]],
  ['a path that goes up', /goes up/, [[file('a/../../etc/passwd')]]],
  ['a path that goes up and down again', /goes up/, [[file('a/../b')]]],
  ['a NUL', /NUL/, [[file('a\0b')]]],
  ['a link that leads out', /leads out/, [[link('a/b', '../../etc')]]],
  ['a link that leads out on its way', /leads out/, [[link('a', 'b/../../c')]]],
  ['an absolute link that leads out', /leads out/, [[link('a', '/../etc')]]],
  ['a link to nothing', /to nothing/, [[link('a', '')]]],
  ['a file through a link', /which is a symlink/, [[link('a', '/etc'), file('a/passwd')]]],
  ['a file through a link of an earlier layer', /which is a symlink/, [[link('a', 'b')], [file('a/c')]]],
  ['a whiteout through a link', /which is a symlink/, [[link('a', '/etc')], [file('a/.wh.passwd')]]],
  ['an entry below a file', /which is a file/, [[file('a'), file('a/b')]]],
  ['a hard link to what is not there', /no file of the image/, [[hard('a', 'etc/passwd')]]],
  ['a hard link up', /goes up/, [[hard('a', '../../etc/shadow')]]],
  ['an absolute hard link', /absolute/, [[file('x'), hard('a', '/x')]]],
  ['a hard link to a link', /no file of the image/, [[link('l', '/etc/shadow'), hard('a', 'l')]]],
  ['a hard link through a link', /no file of the image/, [[link('l', '/etc'), hard('a', 'l/shadow')]]],
  [
    'a hard link to what was taken away',
    /no file of the image/,
    [[file('x')], [file('.wh.x'), hard('a', 'x')]],
  ],
  ['a device', /character device/, [[{ name: 'a', type: 'character', target: '' }]]],
  ['a disk', /block device/, [[{ name: 'a', type: 'block', target: '' }]]],
  ['a fifo', /fifo/, [[{ name: 'a', type: 'fifo', target: '' }]]],
  ['a root that is a link', /place of the root/, [[link('./', '/')]]],
  ['a whiteout of nothing', /whiteout of nothing/, [[file('.wh.')]]],
  ['a whiteout of the parent', /whiteout of nothing/, [[dir('a')], [file('a/.wh...')]]],
  ['a whiteout of itself', /whiteout of nothing/, [[dir('a')], [file('a/.wh..')]]],
  ['an unknown whiteout', /whiteout of nothing/, [[file('.wh..wh.plnk')]]],
  ['a whiteout that is a folder', /whiteout is a file/, [[dir('.wh.a')]]],
  ['a path through a whiteout', /through a whiteout/, [[file('.wh.a/b')]]],
  ['made and taken away at once', /takes it away/, [[file('a/b'), file('a/.wh.b')]]],
  ['emptied twice', /emptied twice/, [[file('a/.wh..wh..opq'), file('a/.wh..wh..opq')]]],
  ['deep folders', /more than 128 folders/, [[file(`${'a/'.repeat(200)}b`)]]],
  ['a long name', /more than 255 bytes/, [[file('a'.repeat(256))]]],
  ['a long path', /more than 2048 bytes/, [[file('a/'.repeat(1200))]]],
];
for (const [what, why, layers] of refused)
  test(`refused: ${what}`, (t) => {
    t.throws(() => build(...layers), { message: why });
  });

const taken: [string, Entry[][]][] = [
  [
    'links inside',
    [[link('bin', 'usr/bin'), link('a/b', '../etc'), link('c', '/proc/mounts'), link('d', '/')]],
  ],
  ['folders that nobody named', [[file('a/b/c'), dir('a'), file('./a/d')]]],
  ['a parent that was taken away comes again', [[file('a/b')], [file('.wh.a')], [file('a/c')]]],
  ['a link that became a folder', [[link('a', '/etc')], [dir('a'), file('a/b')]]],
  ['a link that was taken away', [[link('a', '/etc')], [file('.wh.a')], [file('a/b')]]],
  ['a hard link to a file of an earlier layer', [[file('x/y')], [hard('z', './x/y')]]],
  ['a whiteout of what is not there', [[file('.wh.a')]]],
  ['emptied and filled, in any order', [[file('a/b')], [file('a/c'), file('a/.wh..wh..opq'), file('a/b')]]],
];
for (const [what, layers] of taken)
  test(`taken: ${what}`, (t) => {
    t.notThrows(() => build(...layers));
  });

test('emptying a folder takes away what earlier layers made, and only that', (t) => {
  t.throws(() => build([file('a/b')], [file('a/.wh..wh..opq'), hard('c', 'a/b')]), { message: /no file/ });
  t.notThrows(() => build([file('a/b')], [file('a/n'), file('a/.wh..wh..opq'), hard('c', 'a/n')]));
});

test('entries are counted over all layers', (t) => {
  const tree = new Tree({ ...OCI_LIMITS, entries: 3 });
  for (const name of ['a', 'b', 'c']) tree.add(file(name), 0);
  t.throws(() => tree.add(file('a'), 1), { message: /more than 3 entries/ });
});

/** Unpacks as the simplest unpacker would, which follows every link that lies there. */
class Naive {
  readonly links = new Map<string, string>();

  /** @returns the real path; null: it is not below the root */
  resolve(path: string, steps = 0): string | null {
    if (steps > 40) return '/loop';
    const done: string[] = [];
    const parts = path.split('/').filter((part) => part !== '' && part !== '.');
    for (const [i, part] of parts.entries()) {
      if (part === '..') {
        if (done.pop() === undefined) return null;
        continue;
      }
      done.push(part);
      const target = this.links.get(done.join('/'));
      if (target === undefined || i === parts.length - 1) continue;
      const rest = parts.slice(i + 1).join('/');
      const from = target.startsWith('/') ? target : [...done.slice(0, -1), target].join('/');
      return this.resolve(`${from}/${rest}`, steps + 1);
    }
    return done.join('/');
  }
}

test('whatever layers hold, no entry that is taken lands anywhere but at its own path', (t) => {
  const word = fc.constantFrom('a', 'b', '..', '.', '.wh.a', '.wh..wh..opq');
  const path = fc.array(word, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
  const target = fc.oneof(
    path,
    path.map((one) => `/${one}`),
  );
  const entry = fc.record({
    name: fc.oneof(path, target),
    type: fc.constantFrom('file', 'directory', 'symlink', 'hardlink'),
    target,
  });
  fc.assert(
    fc.property(fc.array(fc.tuple(entry, fc.nat(2)), { maxLength: 12 }), (all) => {
      const tree = new Tree(OCI_LIMITS);
      const naive = new Naive();
      for (const [one, layer] of all.toSorted(([, a], [, b]) => a - b)) {
        try {
          tree.add(one as Entry, layer);
        } catch {
          continue;
        }
        const plain = one.name
          .split('/')
          .filter((part) => part !== '.')
          .join('/');
        const hidden = plain.replace(/(^|\/)\.wh\.\.wh\.\.opq$/, '').replace(/\.wh\./, '');
        if (hidden === plain) t.is(naive.resolve(plain), plain);
        // Links that are gone lead nowhere.
        for (const key of naive.links.keys())
          if (key === hidden || key.startsWith(`${hidden}/`) || hidden === '') naive.links.delete(key);
        if (one.type === 'symlink') naive.links.set(plain, one.target);
      }
    }),
    { numRuns: 500 },
  );
});
