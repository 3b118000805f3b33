/**
 * What a version of a service needs and may do. It is part of TUF's metadata, so it was signed by who released the version; a
 * node believes no manifest inside the bundle.
 */
import { isIP } from 'node:net';
// The mini build, because the agent's bundle holds this file.
import * as z from 'zod/mini';
import { serviceNameSchema } from './name.ts';
import { SECRET_LIMITS, secretNameSchema } from './secrets.ts';

/** The most that any manifest may ask for. A node refuses what is more than it has. */
const MANIFEST_LIMITS = {
  /** Arguments of the command, and variables. */
  words: 64,
  /** Characters of one of them. */
  word: 4096,
  ports: 32,
  egress: 64,
  tmpfs: 8,
  mounts: 4,
  dependencies: 16,
  /** Bytes. */
  memory: 64 * 2 ** 30,
  state: 2 ** 40,
  scratch: 4 * 2 ** 30,
  /** Percent of one processor. */
  cpu: 12_800,
  tasks: 32_768,
  /** Bytes a second. */
  io: 10 * 2 ** 30,
  /** Seconds. */
  stop: 120,
} as const;

const upTo = (most: number, least = 1) => z.int().check(z.gte(least), z.lte(most));
/** execve(2) ends a word at a NUL. */
const word = z.string().check(z.maxLength(MANIFEST_LIMITS.word), z.regex(/^[^\0]*$/, { error: 'has a NUL' }));
const label = z.string().check(z.regex(/^[a-z](?:[0-9a-z-]{0,30}[0-9a-z])?$/, { error: 'is not a name' }));
const port = upTo(65_535);
const protocol = z.enum(['tcp', 'udp']);

/** Absolute, without `.`, `..`, empty parts or characters that a mount option or a terminal gives a meaning. */
const path = z
  .string()
  .check(
    z.maxLength(256),
    z.regex(/^(?:\/(?!\.{1,2}(?:\/|$))[\w.+@-]+)+$/, { error: 'is not a plain absolute path' }),
  );
/** Not one of the folders that root mounts itself. */
const mountPoint = path.check(
  z.refine((text) => !/^\/(?:proc|sys|dev)(?:\/|$)/.test(text), { error: 'is mounted by the node itself' }),
);

/** An address or a network (RFC 4632 3.1; RFC 4291 2.3). */
const network = z.string().check(
  z.refine(
    (text) => {
      const [address = '', length, ...rest] = text.split('/');
      const family = isIP(address);
      if (family === 0 || address.includes('%') || rest.length > 0) return false;
      return (
        length === undefined || (/^\d{1,3}$/.test(length) && Number(length) <= (family === 4 ? 32 : 128))
      );
    },
    { error: 'is neither an address nor a network' },
  ),
);

export const distinct = <T>(of: (one: T) => string, what: string) =>
  z.refine<T[]>((all) => new Set(all.map(of)).size === all.length, { error: `${what} stands there twice` });

/** `exec` runs inside the instance; the others come from the node. An HTTP answer of 200 to 399 is well. */
export const healthSchema = z.strictObject({
  check: z.union([
    z.strictObject({
      kind: z.literal('exec'),
      command: z.array(word).check(z.minLength(1), z.maxLength(MANIFEST_LIMITS.words)),
    }),
    z.strictObject({ kind: z.literal('http'), port, path: z.string().check(z.regex(/^\/[!-~]{0,255}$/)) }),
    z.strictObject({ kind: z.literal('tcp'), port }),
  ]),
  /** Seconds between two checks. */
  every: z._default(upTo(3600), 10),
  /** Seconds after which a check has failed. */
  timeout: z._default(upTo(60), 5),
  /** Failures in a row after which the instance is ill. */
  failures: z._default(upTo(100), 3),
  /** Seconds after its start in which failures do not count. */
  grace: z._default(upTo(3600, 0), 30),
});

export const manifestSchema = z
  .strictObject({
    /** What is executed, without a shell. */
    command: z.array(word).check(z.minLength(1), z.maxLength(MANIFEST_LIMITS.words)),
    env: z._default(
      z
        .record(
          z.string().check(z.regex(/^[A-Za-z_]\w{0,127}$/, { error: 'is not the name of a variable' })),
          word,
        )
        .check(
          z.refine((all) => Object.keys(all).length <= MANIFEST_LIMITS.words, {
            error: `are more than ${MANIFEST_LIMITS.words}`,
          }),
        ),
      {},
    ),
    workdir: z._default(z.union([z.literal('/'), path]), '/'),
    /** Numbers inside the instance's own range of ids: 0 there is nobody on the node. */
    user: z._default(z.strictObject({ uid: upTo(65_534, 0), gid: upTo(65_534, 0) }), { uid: 0, gid: 0 }),
    /** The only ports at which it is reached. */
    ports: z._default(
      z.array(z.strictObject({ name: label, protocol: z._default(protocol, 'tcp'), port })).check(
        z.maxLength(MANIFEST_LIMITS.ports),
        distinct(({ name }) => name, 'a name'),
        distinct((one) => `${one.protocol}/${one.port}`, 'a port'),
      ),
      [],
    ),
    /** The only places that it reaches. `port: null` is any. */
    egress: z._default(
      z
        .array(
          z.strictObject({
            to: network,
            protocol: z._default(protocol, 'tcp'),
            port: z._default(z.nullable(port), null),
          }),
        )
        .check(z.maxLength(MANIFEST_LIMITS.egress)),
      [],
    ),
    /** A folder that is kept from version to version and over restarts, of so many bytes; null: nothing is kept. */
    state: z._default(
      z.nullable(
        z.strictObject({
          path: mountPoint,
          bytes: upTo(MANIFEST_LIMITS.state, 2 ** 20),
          /** This version changes what the one before wrote: a copy is made first, for the way back. */
          migrates: z._default(z.boolean(), false),
        }),
      ),
      null,
    ),
    /** Folders in memory, of so many bytes; /tmp and /run are there in any case. They count against the memory. */
    tmpfs: z._default(
      z.array(z.strictObject({ path: mountPoint, bytes: upTo(MANIFEST_LIMITS.scratch, 4096) })).check(
        z.maxLength(MANIFEST_LIMITS.tmpfs),
        distinct(({ path: at }) => at, 'a path'),
      ),
      [],
    ),
    /**
     * Folders of the node that it reads. `images`: the signed images and the bundles that the node has, laid out as a boot
     * server has them. Left out, not empty, where there are none, as `secrets`.
     */
    mounts: z.exactOptional(
      z.array(z.strictObject({ kind: z.enum(['images']), path: mountPoint })).check(
        z.minLength(1),
        z.maxLength(MANIFEST_LIMITS.mounts),
        distinct(({ path: at }) => at, 'a path'),
      ),
    ),
    limits: z.strictObject({
      /** Bytes; beyond them it is ended. */
      memory: upTo(MANIFEST_LIMITS.memory, 2 ** 20),
      /** Percent of one processor. */
      cpu: upTo(MANIFEST_LIMITS.cpu),
      /** Processes and threads. */
      tasks: upTo(MANIFEST_LIMITS.tasks),
      /** Bytes a second on the disk with its state; null: as others get. */
      io: z._default(
        z.nullable(z.strictObject({ read: upTo(MANIFEST_LIMITS.io), write: upTo(MANIFEST_LIMITS.io) })),
        null,
      ),
    }),
    health: z._default(z.nullable(healthSchema), null),
    /** Seconds that it has to end by itself after `signal`. */
    stop: z._default(
      z.strictObject({
        signal: z._default(z.enum(['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP']), 'SIGTERM'),
        timeout: z._default(upTo(MANIFEST_LIMITS.stop), 10),
      }),
      { signal: 'SIGTERM', timeout: 10 },
    ),
    /** Services of the same node that are healthy before this one starts. */
    dependsOn: z._default(
      z.array(serviceNameSchema).check(
        z.maxLength(MANIFEST_LIMITS.dependencies),
        distinct((one) => one, 'a service'),
      ),
      [],
    ),
    /**
     * Secrets that it is given, a file each in /run/secrets; without all of them it does not start. Left out, not empty,
     * where there are none: what is from before secrets refuses a manifest with a field that it does not know.
     */
    secrets: z.exactOptional(
      z.array(secretNameSchema).check(
        z.minLength(1),
        z.maxLength(SECRET_LIMITS.names),
        distinct((one) => one, 'a secret'),
      ),
    ),
    /** As Node names it. */
    architecture: z._default(z.enum(['x64', 'arm64']), 'x64'),
    /** Which runtime contains it. */
    runtime: z._default(z.enum(['crun']), 'crun'),
  })
  .check(
    z.refine(({ state, mounts = [] }) => mounts.every(({ path: at }) => at !== state?.path), {
      error: 'is the folder of state',
      path: ['mounts'],
    }),
  );
export type Manifest = z.infer<typeof manifestSchema>;
