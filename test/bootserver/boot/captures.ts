import { readdirSync, readFileSync } from 'node:fs';

const folder = new URL('./captures/', import.meta.url);

/** What real firmware put on the wire, by file name; each file's first line says who sent it. */
export const CAPTURES: ReadonlyMap<string, Uint8Array> = new Map(
  readdirSync(folder)
    .filter((name) => name.endsWith('.hex'))
    .map((name) => {
      const [, ...lines] = readFileSync(new URL(name, folder), 'utf8').split('\n');
      return [name.replace(/\.hex$/, ''), new Uint8Array(Buffer.from(lines.join(''), 'hex'))];
    }),
);
