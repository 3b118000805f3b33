import { BootwaveError } from '../../base/error.ts';

/** The three tables of /lib/modules/<release> that list the modules (modules.dep(5), modules.builtin). */
export type ModuleTables = {
  /** modules.dep: `kernel/a/b.ko: kernel/c/d.ko ...` */
  dep: string;
  /** modules.builtin: one path a line. */
  builtin: string;
  /** modules.softdep: `softdep a pre: b c post: d` */
  softdep: string;
};

/** `kernel/drivers/net/ethernet/amd-xgbe.ko` -> `amd_xgbe`, as modprobe does. */
export function moduleName(path: string): string {
  return path
    .slice(path.lastIndexOf('/') + 1)
    .replace(/\.ko(\.\w+)?$/, '')
    .replaceAll('-', '_');
}

/**
 * Paths, sorted, of the wanted modules and of everything that they need, hard or soft. Built-in ones need no file.
 * @throws BootwaveError `MODULES_MISSING` naming every wanted module that this kernel does not have at all
 */
export function resolveModules(tables: ModuleTables, wanted: Iterable<string>): string[] {
  const paths = new Map<string, { path: string; needs: string[] }>();
  for (const line of tables.dep.split('\n')) {
    const [path, needs] = line.split(':');
    if (path === undefined || needs === undefined) continue;
    paths.set(moduleName(path), { path, needs: needs.trim().split(' ').filter(Boolean).map(moduleName) });
  }
  const builtin = new Set(tables.builtin.split('\n').filter(Boolean).map(moduleName));
  const soft = softDependencies(tables.softdep);

  const missing: string[] = [];
  const found = new Set<string>();
  const visit = (name: string, hard: boolean): void => {
    const module = paths.get(name);
    if (module === undefined) {
      if (hard && !builtin.has(name)) missing.push(name);
      return;
    }
    if (found.has(module.path)) return;
    found.add(module.path);
    for (const need of module.needs) visit(need, true);
    for (const need of soft.get(name) ?? []) visit(need, false);
  };
  for (const name of wanted) visit(name, true);

  if (missing.length > 0) {
    throw new BootwaveError({
      code: 'MODULES_MISSING',
      what: `this kernel has no module ${missing.sort().join(', ')}`,
      unchanged: 'nothing was published',
      next: 'correct image/build/modules.ts: a module may have been renamed or become built in',
    });
  }
  return [...found].sort();
}

/** Soft dependencies may name aliases or modules that were not built: a missing one is no error. */
function softDependencies(text: string): Map<string, string[]> {
  const result = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const match = /^softdep\s+(\S+)\s+(.*)$/.exec(line);
    if (match?.[1] === undefined || match[2] === undefined) continue;
    const names = match[2].split(/\s+/).filter((word) => word !== '' && !/^(pre|post):$/.test(word));
    const name = moduleName(match[1]);
    result.set(name, [...(result.get(name) ?? []), ...names.map(moduleName)]);
  }
  return result;
}

/** The modules and what they need in the order in which insmod must load them: what is needed comes first. */
export function loadOrder(tables: ModuleTables, wanted: Iterable<string>): string[] {
  const order: string[] = [];
  const visit = (name: string): void => {
    const line = tables.dep
      .split('\n')
      .find((candidate) => moduleName(candidate.split(':')[0] ?? '') === name);
    const [path, needs] = (line ?? '').split(':');
    if (path === undefined || path === '' || order.includes(path)) return;
    for (const need of (needs ?? '').trim().split(' ').filter(Boolean)) visit(moduleName(need));
    order.push(path);
  };
  for (const name of wanted) visit(name);
  return order;
}
