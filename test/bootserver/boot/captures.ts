import { readdirSync, readFileSync } from 'node:fs';

/** Packets in hex, by file name; each file's first line says who sent it. @param folder ends with a slash */
export function readCaptures(folder: URL): ReadonlyMap<string, Uint8Array> {
  return new Map(
    readdirSync(folder)
      .filter((name) => name.endsWith('.hex'))
      .map((name) => {
        const [, ...lines] = readFileSync(new URL(name, folder), 'utf8').split('\n');
        return [name.replace(/\.hex$/, ''), new Uint8Array(Buffer.from(lines.join(''), 'hex'))];
      }),
  );
}

/** What real firmware put on the wire. */
export const CAPTURES = readCaptures(new URL('./captures/', import.meta.url));
