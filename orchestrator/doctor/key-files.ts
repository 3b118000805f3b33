import { stat } from 'node:fs/promises';
import { relative } from 'node:path';
import { whatOf } from '../../base/error.ts';
import { loadAuthority } from '../../keys/authority.ts';
import { AUTHORITIES, keyLayout } from '../../keys/layout.ts';
import { readFleetLists } from '../../keys/secure-boot-lists.ts';
import { type ShownKey, showKeys } from '../../keys/show.ts';
import { type Check, fail, ok, warn } from './check.ts';

const NAME = 'key files';
const DAY = 24 * 3600_000;
/** Days before an expiry at which someone should know. */
const SOON = 90;

/** Are all there, closed to others, valid, and does each private key belong to its certificate? */
export async function checkKeyFiles(folder: string): Promise<Check> {
  const shown = await showKeys(folder);
  if (shown.every((key) => key.problems.includes('missing or unreadable'))) {
    return fail(NAME, `there are none in ${folder}`, `run 'bootwave keys init', or restore the backup`);
  }
  const problems = [
    ...shown.flatMap((key) => key.problems.map((problem) => `${key.file}: ${problem}`)),
    ...(await missingEnrolmentFiles(folder)),
    ...(await spoiltLists(folder)),
  ];
  // When a key is missing, reading the others adds nothing.
  if (problems.length === 0) problems.push(...(await mismatches(folder)));
  if (problems.length > 0) return fail(NAME, problems.join('; '), remedy(folder, problems));
  return soon(shown) ?? ok(NAME, `complete in ${folder}`);
}

function remedy(folder: string, problems: readonly string[]): string {
  if (problems.every((problem) => problem.includes('chmod 600'))) return `chmod 600 ${folder}/*/*.key`;
  return `restore the folder from its backup; without one, 'bootwave keys init' makes what is missing (it overwrites nothing)`;
}

/** What the image carries to enrol Secure Boot; `keys show` lists certificates only. */
async function missingEnrolmentFiles(folder: string): Promise<string[]> {
  const { owner, variables } = keyLayout(folder).secureBoot;
  const files = [owner, ...Object.values(variables).flatMap(({ esl, auth }) => [esl, auth])];
  const present = await Promise.all(
    files.map((file) =>
      stat(file).then(
        () => true,
        () => false,
      ),
    ),
  );
  return files.filter((_, i) => present[i] === false).map((file) => `${relative(folder, file)}: missing`);
}

/** What is revoked in firmware; a build stops when the lists are incomplete. */
async function spoiltLists(folder: string): Promise<string[]> {
  return readFleetLists(folder).then(
    () => [],
    (error: unknown) => [whatOf(error)],
  );
}

async function mismatches(folder: string): Promise<string[]> {
  const results = await Promise.allSettled(AUTHORITIES.map((name) => loadAuthority(folder, name)));
  return results.flatMap((result) => {
    if (result.status === 'fulfilled') return [];
    const { reason } = result;
    return [whatOf(reason)];
  });
}

function soon(shown: readonly ShownKey[]): Check | undefined {
  const ending = shown.filter((key) => key.notAfter !== null && key.notAfter - Date.now() < SOON * DAY);
  if (ending.length === 0) return undefined;
  return warn(
    NAME,
    `expire within ${SOON} days: ${ending.map((key) => key.file).join(', ')}`,
    'plan new ones',
  );
}
