import type { Duplex } from 'node:stream';

/**
 * Calls `hear` with every whole line; a peer that sends a longer one is hung up on.
 * @param most bytes of a line, its end not counted
 */
export function onLines(socket: Duplex, most: number, hear: (line: string) => void): void {
  let pieces: Buffer[] = [];
  let size = 0;
  socket.on('data', (bytes: Buffer) => {
    let rest = bytes;
    for (let end = rest.indexOf(0x0a); end >= 0; end = rest.indexOf(0x0a)) {
      if (size + end > most) {
        socket.destroy();
        return;
      }
      pieces.push(rest.subarray(0, end));
      const line = Buffer.concat(pieces).toString('utf8');
      [pieces, size, rest] = [[], 0, rest.subarray(end + 1)];
      hear(line);
      if (socket.destroyed) return;
    }
    if (rest.length === 0) return;
    pieces.push(rest);
    size += rest.length;
    if (size > most) socket.destroy();
  });
}
