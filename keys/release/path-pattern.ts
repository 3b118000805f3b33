/**
 * Whether a target's path fits a pattern of a delegation (TUF 1.0.34, 4.5 PATHPATTERN): `*` is any number of
 * characters and `?` is one, neither of them a `/`; everything else is itself. Takes at most as many steps as the
 * product of both lengths, because a delegated role writes its own patterns.
 */
export function matchesPattern(path: string, pattern: string): boolean {
  let [at, of] = [0, 0];
  let star: { at: number; of: number } | null = null;
  while (at < path.length) {
    const wanted = pattern[of];
    if (wanted === '*') {
      star = { at, of };
      of += 1;
    } else if (wanted === path[at] || (wanted === '?' && path[at] !== '/')) {
      at += 1;
      of += 1;
    } else if (star !== null && path[star.at] !== '/') {
      // The last star takes one character more.
      star.at += 1;
      at = star.at;
      of = star.of + 1;
    } else return false;
  }
  while (pattern[of] === '*') of += 1;
  return of === pattern.length;
}
