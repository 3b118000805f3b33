import { run } from '../../base/run.ts';

/**
 * The libraries that the dynamic sections of these files need: path -> DT_NEEDED names. Files that are not ELF are left
 * out.
 */
export async function neededBy(files: readonly string[]): Promise<Map<string, string[]>> {
  const result = new Map<string, string[]>();
  if (files.length === 0) return result;
  // readelf exits non-zero for files that are no ELF; what it prints for the others is complete all the same.
  const { stdout } = await run('readelf', ['-d', '-W', ...files], { env: { ...process.env, LC_ALL: 'C' } });
  let current = files.length === 1 ? files[0] : undefined;
  for (const line of stdout.split('\n')) {
    const file = /^File: (.*)$/.exec(line);
    if (file?.[1] !== undefined) {
      current = file[1];
      continue;
    }
    if (current === undefined) continue;
    if (/^Dynamic section/.test(line)) result.set(current, []);
    const needed = /\(NEEDED\)\s+Shared library: \[(.+)\]/.exec(line);
    if (needed?.[1] !== undefined) result.get(current)?.push(needed[1]);
  }
  return result;
}

/**
 * Which libraries are reached from the programs.
 * @param needs soname or program -> sonames it needs
 * @returns every soname reached, and those reached that nobody provides
 */
export function reach(
  roots: Iterable<string>,
  needs: ReadonlyMap<string, readonly string[]>,
): { reached: Set<string>; unresolved: Set<string> } {
  const reached = new Set<string>();
  const unresolved = new Set<string>();
  const stack = [...roots];
  for (let name = stack.pop(); name !== undefined; name = stack.pop()) {
    if (reached.has(name)) continue;
    reached.add(name);
    const next = needs.get(name);
    if (next === undefined) unresolved.add(name);
    else stack.push(...next);
  }
  return { reached, unresolved };
}
