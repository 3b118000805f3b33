/**
 * A version of a service means one content for ever: nodes and records know it by its name. What was released and is
 * not any more is remembered beside the metadata.
 */
import { join } from 'node:path';
import { TargetFile } from '@tufjs/models';
import { appendLine, readLines } from '../../base/append-line.ts';
import { BootwaveError } from '../../base/error.ts';
import { serviceOfTarget, shownServiceVersion } from '../../protocol/service/name.ts';
import { isSame } from './bundled.ts';
import type { Change } from './next.ts';
import type { Repository } from './repository.ts';

const fileOf = (releases: string): string => join(releases, 'withdrawn-services');

/**
 * Remembers what this change takes out, before it is gone.
 * @throws BootwaveError `RELEASE_CONFLICT` if a version is given another content than it has or once had
 */
export async function mustBeOnce(releases: string, last: Repository | null, change: Change): Promise<void> {
  const before = servicesOf(last, {});
  const after = servicesOf(last, change);
  const gone = [...before.values()].filter(({ path }) => !after.has(path));
  const fresh = [...after.values()].filter((target) => before.get(target.path) !== target);
  if (gone.length + fresh.length === 0) return;
  const known = await withdrawnServices(releases);
  for (const target of fresh) {
    const was = before.get(target.path) ?? known.get(target.path);
    if (was !== undefined && !isSame(was, target)) throw conflict(target.path);
  }
  for (const target of gone)
    if (known.get(target.path)?.equals(target) !== true)
      await appendLine(fileOf(releases), JSON.stringify({ path: target.path, target: target.toJSON() }));
}

/** By path: what was released once. */
export async function withdrawnServices(releases: string): Promise<Map<string, TargetFile>> {
  const found = new Map<string, TargetFile>();
  for (const { line } of await readLines(fileOf(releases))) {
    const { path, target } = JSON.parse(line) as { path: string; target: Record<string, never> };
    found.set(path, TargetFile.fromJSON(path, target));
  }
  return found;
}

function servicesOf(
  last: Repository | null,
  { targets, delegations, delegated }: Change,
): Map<string, TargetFile> {
  const all = [...(targets ?? Object.values(last?.targets.signed.targets ?? {}))];
  for (const role of Object.keys((delegations ?? last?.targets.signed.delegations)?.roles ?? {})) {
    const signed = (delegated?.get(role) ?? last?.delegated.get(role))?.metadata.signed;
    all.push(...Object.values(signed?.targets ?? {}));
  }
  return new Map(all.filter(({ path }) => serviceOfTarget(path) !== null).map((file) => [file.path, file]));
}

function conflict(path: string): BootwaveError {
  const service = serviceOfTarget(path);
  return new BootwaveError({
    code: 'RELEASE_CONFLICT',
    what: `${service === null ? path : shownServiceVersion(service)} is or was released with another content`,
    unchanged: 'what is released stays',
    next: 'choose a version that was never used: nodes and records know a version by its name',
  });
}
