/** An independent reader of newc archives, one behind the other as in an initrd: path -> mode and content. */
export function readNewc(bytes: Buffer): Map<string, { mode: number; data: Buffer }> {
  const entries = new Map<string, { mode: number; data: Buffer }>();
  let at = 0;
  while (at < bytes.length) {
    if (bytes[at] === 0) {
      at += 1;
      continue;
    }
    if (bytes.toString('latin1', at, at + 6) !== '070701') throw new Error(`no newc header at ${at}`);
    const field = (i: number) =>
      Number.parseInt(bytes.toString('latin1', at + 6 + i * 8, at + 14 + i * 8), 16);
    const [mode, size, nameSize] = [field(1), field(6), field(11)];
    const path = bytes.toString('utf8', at + 110, at + 110 + nameSize - 1);
    const start = (at + 110 + nameSize + 3) & ~3;
    if (path !== 'TRAILER!!!') entries.set(path, { mode, data: bytes.subarray(start, start + size) });
    at = (start + size + 3) & ~3;
  }
  return entries;
}
