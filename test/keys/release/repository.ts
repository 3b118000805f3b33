/** Release metadata that is made by hand, signed all the same: what no publisher of ours would write. */
import { createHash, sign } from 'node:crypto';
import { Metadata, Signature } from '@tufjs/models';
import type { FetchMetadata, MetadataCache } from '../../../keys/release/believe.ts';
import { makeSecret, type SigningKey, signingKey } from '../../../keys/release/key.ts';
import { type Released, refresh } from '../../../keys/release/refresh.ts';
import { RELEASE_ROLES, type ReleaseRole } from '../../../keys/release/roles.ts';

type Json = Record<string, unknown>;

export type Delegation = {
  name: string;
  paths?: unknown;
  terminating?: boolean;
  /** By default the one of that name. */
  keys?: readonly SigningKey[];
  threshold?: number;
  more?: Json;
};

export type Role = {
  targets?: readonly string[];
  delegates?: readonly Delegation[];
  /** By default the one of that name. */
  signedBy?: readonly SigningKey[];
  change?: Json;
  /** Named by no snapshot. */
  hidden?: boolean;
};

const NOW = Date.now();
export const later = (days = 30) => new Date(NOW + days * 86_400_000).toISOString().replace(/\.\d+Z/, 'Z');
const known = new Map<string, SigningKey>();

/** The same one for the same name. */
export function keyOf(name: string): SigningKey {
  const key = known.get(name) ?? signingKey(makeSecret());
  known.set(name, key);
  return key;
}

/** Of a path: anything that tells one from another, with who released it. */
const fileOf = (path: string, role: string) => ({
  length: 1,
  hashes: { sha256: createHash('sha256').update(path).digest('hex') },
  custom: { role },
});

/** @param ids under which the signatures stand */
export function signed(
  body: Json,
  keys: readonly SigningKey[],
  ids = keys.map((key) => key.public.keyID),
): Buffer {
  const plain = JSON.parse(JSON.stringify(body));
  const metadata = new Metadata({ toJSON: () => plain } as never);
  for (const [i, { secret }] of keys.entries())
    metadata.sign(
      (bytes) => new Signature({ keyID: ids[i]!, sig: sign(null, bytes, secret).toString('hex') }),
    );
  return Buffer.from(JSON.stringify(metadata.toJSON()));
}

export function delegations(all: readonly Delegation[]): Json {
  const keysOf = ({ name, keys = [keyOf(name)] }: Delegation) => keys;
  return {
    keys: Object.fromEntries(all.flatMap(keysOf).map((key) => [key.public.keyID, key.public.toJSON()])),
    roles: all.map((one) => ({
      name: one.name,
      paths: one.paths ?? ['*'],
      terminating: one.terminating ?? false,
      keyids: keysOf(one).map((key) => key.public.keyID),
      threshold: one.threshold ?? 1,
      ...one.more,
    })),
  };
}

const common = (type: string) => ({ _type: type, spec_version: '1.0.31', version: 1, expires: later() });

/** @param roles by name; `targets` is the one that root names @param change of the top-level roles' metadata */
export function repository(
  roles: Readonly<Record<string, Role>>,
  change: Partial<Record<ReleaseRole, Json>> = {},
) {
  const files = new Map<string, Buffer>();
  const meta: Json = {};
  for (const [name, role] of Object.entries(roles)) {
    const body: Json = {
      ...common('targets'),
      targets: Object.fromEntries((role.targets ?? []).map((path) => [path, fileOf(path, name)])),
      ...(role.delegates && { delegations: delegations(role.delegates) }),
      ...role.change,
    };
    files.set(`1.${encodeURIComponent(name)}.json`, signed(body, role.signedBy ?? [keyOf(name)]));
    if (role.hidden !== true) meta[`${name}.json`] = { version: body.version };
  }
  const root: Json = {
    ...common('root'),
    consistent_snapshot: true,
    keys: Object.fromEntries(
      RELEASE_ROLES.map((role) => [keyOf(role).public.keyID, keyOf(role).public.toJSON()]),
    ),
    roles: Object.fromEntries(
      RELEASE_ROLES.map((role) => [role, { keyids: [keyOf(role).public.keyID], threshold: 1 }]),
    ),
    ...change.root,
  };
  const snapshot: Json = { ...common('snapshot'), meta, ...change.snapshot };
  const timestamp: Json = {
    ...common('timestamp'),
    meta: { 'snapshot.json': { version: snapshot.version } },
    ...change.timestamp,
  };
  files.set('1.snapshot.json', signed(snapshot, [keyOf('snapshot')]));
  files.set('timestamp.json', signed(timestamp, [keyOf('timestamp')]));
  return { root: signed(root, [keyOf('root')]), files };
}

/** As a node reads it. `asked` are the names, in order. */
export function reader({ root, files }: ReturnType<typeof repository>) {
  const asked: string[] = [];
  const kept = new Map<string, Buffer>();
  const fetch: FetchMetadata = async (name) => {
    asked.push(name);
    return files.get(name) ?? null;
  };
  const cache: MetadataCache = {
    read: async (name) => kept.get(name) ?? null,
    write: async (name, bytes) => void kept.set(name, bytes),
  };
  const read = (): Promise<Released> => refresh({ root, fetch, cache, now: NOW });
  const find = async (path: string): Promise<string | null> =>
    (await (await read()).find(path))?.role ?? null;
  return { asked, kept, read, find };
}
