/**
 * What release metadata must satisfy before its signatures are checked; tuf-js accepts metadata that breaks these
 * rules.
 */
import type { KeyObject } from 'node:crypto';
import { Key } from '@tufjs/models';
import { getPublicKey } from '@tufjs/models/dist/utils/key.js';
import { refusal } from './refusals.ts';
import { RELEASE_ROLES } from './roles.ts';

type Json = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** At most the largest number that JavaScript holds exactly: a larger one is equal to its neighbours. */
const isCount = (value: unknown, least: number): boolean =>
  Number.isSafeInteger(value) && (value as number) >= least;

/** @throws BootwaveError `RELEASE_METADATA_MALFORMED`; SyntaxError for invalid JSON */
export function mustBeWellFormed(role: string, bytes: Buffer): void {
  const refuse = (why: string) => refusal('RELEASE_METADATA_MALFORMED', role, why);
  const { signed } = JSON.parse(bytes.toString('utf8')) as { signed?: unknown };
  if (!isObject(signed)) throw refuse('it is not what TUF calls metadata');
  const { version, expires, meta, roles, delegations } = signed;
  // 4.3: all of these are integers greater than 0.
  if (!isCount(version, 1)) throw refuse('its version is no number that metadata can have');
  // 4.2.1. The store treats an invalid expiry as never expiring.
  const isDate = typeof expires === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(expires);
  if (!isDate || Number.isNaN(Date.parse(expires))) throw refuse('it has no date of expiry');
  for (const [name, of] of Object.entries(isObject(meta) ? meta : {}))
    if (!isObject(of) || !isCount(of.version, 1) || !isCount(of.length ?? 0, 0))
      throw refuse(`what it says of ${name} has no version or no length that a file can have`);
  mustBeKeys(signed.keys, Object.values(isObject(roles) ? roles : {}), refuse);
  if (delegations === undefined || delegations === null) return;
  if (!isObject(delegations) || !Array.isArray(delegations.roles) || 'succinct_roles' in delegations)
    throw refuse('what it delegates is not understood here');
  mustBeKeys(delegations.keys, delegations.roles, refuse);
  mustBeRoles(delegations.roles, refuse);
}

/** A threshold counts people: one key under two names would count twice (4.3). */
function mustBeKeys(keys: unknown, roles: readonly unknown[], refuse: (why: string) => Error): void {
  const names = new Map<string, string>();
  for (const [id, key] of Object.entries(isObject(keys) ? keys : {})) {
    const print = printOf(id, key);
    const other = names.get(print);
    if (other !== undefined)
      throw refuse(`one key has two names in it, ${other.slice(0, 16)} and ${id.slice(0, 16)}`);
    names.set(print, id);
  }
  for (const role of roles)
    if (!isObject(role) || !isCount(role.threshold, 1)) throw refuse('a role in it has no threshold');
}

/** One form for one key, however it is written. A signature by an unknown kind of key does not count. */
function printOf(id: string, key: unknown): string {
  try {
    const { keyType, scheme, keyVal } = Key.fromJSON(id, key as never);
    const { key: found } = getPublicKey({ keyType, scheme, keyVal: keyVal.public! }) as { key: KeyObject };
    return found.export({ type: 'spki', format: 'der' }).toString('base64');
  } catch {
    return `unknown ${id}`;
  }
}

const TAKEN: ReadonlySet<unknown> = new Set([...RELEASE_ROLES, '__proto__']);

function mustBeRoles(roles: readonly unknown[], refuse: (why: string) => Error): void {
  const seen = new Set<unknown>();
  for (const role of roles) {
    const { name, paths } = isObject(role) ? role : {};
    const isName = typeof name === 'string' && name !== '' && name.length <= 128 && name.isWellFormed();
    // Objects put names that are numbers before all others, which would change the order.
    if (!isName || /^\d+$/.test(name) || TAKEN.has(name) || seen.has(name))
      throw refuse(`'${String(name).slice(0, 64)}' cannot be the name of one role of its own`);
    seen.add(name);
    if (!Array.isArray(paths) || !paths.every((path) => typeof path === 'string'))
      throw refuse(`what is delegated to '${name.slice(0, 64)}' is not understood here`);
  }
}
