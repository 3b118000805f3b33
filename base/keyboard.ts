/** Ctrl-], as telnet has it: no boot menu uses it. */
export const LEAVE = 0x1d;

/**
 * Each key as it is pressed, from now on.
 * @param end of a person that has pressed Ctrl-], or of what was piped in
 * @returns leaves the keyboard as it was
 */
export function onKeys(type: (bytes: Buffer) => void, end: () => void): () => void {
  const { stdin } = process;
  const hear = (bytes: Buffer) => {
    const at = bytes.indexOf(LEAVE);
    if (at !== 0) type(at < 0 ? bytes : bytes.subarray(0, at));
    if (at >= 0) end();
  };
  if (stdin.isTTY) stdin.setRawMode(true);
  stdin.on('data', hear).on('end', end);
  return () => {
    stdin.off('data', hear).off('end', end);
    if (stdin.isTTY) stdin.setRawMode(false);
    stdin.pause();
  };
}
