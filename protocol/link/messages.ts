/**
 * The messages between orchestrator and node on the link. Both sides check them against these schemas.
 *
 * What the node receives is checked strictly: a field that it does not know is refused, never ignored, because it may
 * have been the one that mattered. What the node sends may have more fields than the orchestrator knows, because in
 * the middle of a rollout nodes are newer and older than it. A change that either rule cannot absorb takes a new
 * LINK_VERSION.
 */

import * as z from 'zod/mini';
import { sha256Hex } from '../../formats/digest.ts';
import { versionSchema } from '../../formats/version.ts';
import { INSTANCE_STATES } from '../agent/services.ts';
import { CONFIG_BASE64 } from '../configuration/document.ts';
import { failureSchema } from '../failure.ts';
import { line } from '../line.ts';
import { ORDER_LIMITS } from '../order.ts';
import { MIRROR } from '../service/mirror.ts';
import { EXEC_OPS } from './exec.ts';
import { flowsArgs, flowsSchema } from './flows.ts';
import { logsArgs, logsSchema } from './logs.ts';
import { usageSchema } from './usage.ts';

export const LINK_VERSION = 1;

/** Name of the SSH subsystem, of the account that carries it, and of the agent's socket behind it. */
export const LINK_SUBSYSTEM = 'bootwave';
export const LINK_ACCOUNT = 'bootwave-link';
/** In a folder of its own, which gives it its group (tmpfiles.d/bootwave-link.conf). */
export const LINK_SOCKET = '/run/bootwave-link/agent.sock';
/** The relay's exit code when the agent does not answer (EX_UNAVAILABLE of sysexits.h). */
export const RELAY_NO_AGENT = 69;

export const LINK_LIMITS = {
  /** Bytes of JSON in a frame; an order's envelope takes up to 44 kB of it. */
  frameBytes: 128 * 1024,
  /** Requests of one link that a node works on at once. */
  inFlight: 16,
  /** Links that a node holds at once: several orchestrators, each with an old one that has not timed out yet. */
  links: 16,
  /** Milliseconds that a peer has to read why its link is closed. */
  farewell: 5_000,
} as const;

const count = () => z.int().check(z.gte(0));
/** Milliseconds since the epoch. */
const instant = count();
const requestId = z.int().check(z.gte(1));

/** Epoch of the order under which an operation is asked for; the node refuses it under any other. */
const fenced = { epoch: z.int().check(z.gte(1)) };
/** The boot in which a restart is asked for: asked again after it, it is not done again. */
const fencedByBoot = { ...fenced, bootId: line(64) };

const running = z.object({
  /** IMAGE_VERSION of os-release. */
  version: line(64),
  kernel: line(128),
  /** /proc/sys/kernel/random/boot_id. */
  bootId: line(64),
  /** PCR 11, SHA-256 bank, as the agent reads it at its fixed phase; null without a TPM. Reported, not proved. */
  pcr11: z.nullable(sha256Hex),
});

/** What the node is doing, apart from running. */
const state = z.enum(['idle', 'installing', 'staging', 'restarting']);
const mode = z.enum(['netboot', 'installed']);

const health = z.object({
  healthy: z.boolean(),
  /** Why it is not, else empty. */
  reason: line(256),
});

/** One image file on the ESP. */
const slot = z.object({
  version: line(64),
  file: line(128),
  /** `good`: blessed. `trying`: may still be booted, `triesLeft` times. `failed`: no tries left. */
  state: z.enum(['good', 'trying', 'failed']),
  /** Null for a blessed one (systemd-boot, boot counting). */
  triesLeft: z.nullable(count()),
  triesDone: z.nullable(count()),
  /** It is the one that runs. */
  booted: z.boolean(),
  /** Why it failed, as far as the node knows; else empty. */
  reason: line(256),
});

const refused = z.object({
  version: line(64),
  reason: line(256),
  attempts: count(),
  at: instant,
});

const configuration = z.object({
  /** SHA-256 of the document in force; null without one. */
  digest: z.nullable(sha256Hex),
  /** It is the one that the order in force names. */
  applied: z.boolean(),
  /** Why the last one that was tried is not in force, else empty. */
  error: line(256),
});

/** One service that the order in force names (protocol/agent/services.ts says what the states are). */
const service = z.object({
  name: line(100),
  version: line(64),
  state: z.enum(INSTANCE_STATES),
  /** By its own check; without one it is healthy while it runs. */
  health: z.enum(['healthy', 'ill', 'unknown']),
  /** Since it was last begun by its order. */
  restarts: count(),
  /** Since when it is in its state; null while nothing of it runs. */
  since: z.nullable(instant),
  /** Why it does not run, or would not start again, with a code where it is refused; else empty. */
  why: line(256),
  /**
   * Number of the last change of its secrets on the server that gave them, which is random: another one is another change.
   * Absent: the node has none, or an image that knows no secrets.
   */
  secrets: z.optional(count()),
  /** It is so because its order says so; absent: it is free, or its image knows no restraints. */
  restraint: z.optional(z.enum(['freeze', 'throttle'])),
});
export type ServiceStatus = z.infer<typeof service>;

/** A file, and who near the node has it. */
const mirrored = z.strictObject({
  sha256: sha256Hex,
  /** The first to ask first; each serves at the one port of mirrors. */
  at: z.array(z.ipv4()).check(z.maxLength(MIRROR.most)),
});
/** An image and a bundle for each service. */
const FILES = ORDER_LIMITS.services + 1;
/** Bundles, the former ones among them, and images. */
const SHARED = 2 * FILES;

/** What the node holds against orders, however new its disk is. */
const guard = z.object({
  /** See Remembered in orders/take.ts. */
  memory: z.enum(['tpm', 'empty', 'none', 'broken']),
  /** No order of a lower epoch is taken. */
  epoch: count(),
  /** No older image is taken. */
  floor: z.nullable(line(64)),
});

/** Bytes. */
const progress = z.object({ version: line(64), done: count(), total: count() });
export type Progress = z.infer<typeof progress>;

/** The closed list of what a node can be asked. Everything but `hello`, `status`, `usage`, `flows`, `logs`, `exec…` and `mirrors` is idempotent by epoch. */
export const OPS = {
  /** First on every link. `version` is the newest that the orchestrator speaks; the node answers with the one to use. */
  hello: {
    args: z.strictObject({ version: z.int().check(z.gte(1)) }),
    result: z.object({
      version: z.int().check(z.gte(1)),
      node: line(128),
      running,
      /** Of the order in force; 0 before the first. */
      epoch: count(),
      state,
    }),
  },
  status: {
    args: z.strictObject({}),
    result: z.object({
      node: line(128),
      running,
      mode,
      /** WWN or serial number of the disk that is installed; absent: none is, it has neither, or the image tells nobody. */
      disk: z.optional(line(128)),
      state,
      order: z.nullable(z.object({ epoch: count(), digest: sha256Hex, expires: instant })),
      slots: z.array(slot).check(z.maxLength(16)),
      /** `error` is why it stopped, empty while it goes on. */
      staging: z.nullable(z.object({ version: line(64), done: count(), total: count(), error: line(256) })),
      /** Versions that this node does not try again until an order forgives them. */
      refused: z.array(refused).check(z.maxLength(64)),
      health,
      /** Absent from images that know no configurations. */
      config: z.optional(configuration),
      /** Absent from images whose orders lie on the disk alone. */
      guard: z.optional(guard),
      /** Absent from images that know no services. */
      services: z.optional(z.array(service).check(z.maxLength(ORDER_LIMITS.services))),
      /** Absent from images that know no services of slices. */
      slices: z.optional(z.literal(true)),
      /** SHA-256 of the files that its own mirror serves to neighbours; absent where it has none. */
      shared: z.optional(z.array(sha256Hex).check(z.maxLength(SHARED))),
    }),
  },
  /** Unknown to images from before it (`LINK_OP_UNKNOWN`). */
  usage: { args: z.strictObject({}), result: usageSchema },
  /** What services have sent since the last answer that is kept. Unknown to images from before it. */
  flows: { args: flowsArgs, result: flowsSchema },
  /** What an instance has written in this boot. Unknown to images from before it. */
  logs: { args: logsArgs, result: logsSchema },
  ...EXEC_OPS,
  /** Delivers an envelope; the node verifies it (`ORDER_*`), stores it and only then answers. */
  order: {
    args: z.strictObject({ envelope: z.unknown() }),
    result: z.object({ epoch: count(), digest: sha256Hex, accepted: z.enum(['new', 'same']) }),
  },
  /**
   * Where neighbours serve files that an order names, or the next one will. It is advice, which replaces the advice before:
   * no order fences it, and the node holds what it fetches against its order as always.
   */
  mirrors: {
    args: z.strictObject({ files: z.array(mirrored).check(z.maxLength(FILES)) }),
    result: z.object({}),
  },
  /** Brings the ordered image onto the disk; answers when it is there. A cut link does not stop it: ask again. */
  stage: {
    args: z.strictObject(fenced),
    result: z.object({ version: line(64), file: line(128), already: z.boolean() }),
  },
  /** Restarts into the ordered image. */
  activate: { args: z.strictObject(fencedByBoot), result: z.object({ restarting: z.boolean() }) },
  /** Stops staging; what was fetched may stay for the next time. */
  cancel: { args: z.strictObject(fenced), result: z.object({ cancelled: z.boolean() }) },
  /** Applies the order's `forgiven` list. */
  forgive: {
    args: z.strictObject(fenced),
    result: z.object({ forgiven: z.array(versionSchema).check(z.maxLength(64)) }),
  },
  restart: { args: z.strictObject(fencedByBoot), result: z.object({ restarting: z.boolean() }) },
  /**
   * Brings the configuration that the order names: its bytes in base64, null where the order names none. Without
   * `apply` the node only says whether it would take it.
   */
  config: {
    args: z.strictObject({
      ...fenced,
      document: z.nullable(z.string().check(z.maxLength(CONFIG_BASE64))),
      apply: z.boolean(),
    }),
    /** Of the document in force now. */
    result: z.object({ digest: z.nullable(sha256Hex) }),
  },
} as const;

export type OpName = keyof typeof OPS;
export type ArgsOf<O extends OpName> = z.infer<(typeof OPS)[O]['args']>;
export type ResultOf<O extends OpName> = z.infer<(typeof OPS)[O]['result']>;
export type Status = ResultOf<'status'>;
export type Hello = ResultOf<'hello'>;

/** From the orchestrator. `abort` says that nobody waits for an answer any more. */
export const toNode = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('request'), id: requestId, op: line(32), args: z.unknown() }),
  z.strictObject({ kind: z.literal('abort'), id: requestId }),
]);
export type ToNode = z.infer<typeof toNode>;

export type Failure = z.infer<typeof failureSchema>;

/** From the node. An error without an id is about the link itself, which the node then closes. */
export const fromNode = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('result'), id: requestId, result: z.unknown() }),
  z.object({ kind: z.literal('error'), id: z.nullable(requestId), error: failureSchema }),
  z.object({ kind: z.literal('progress'), id: requestId, progress }),
]);
export type FromNode = z.infer<typeof fromNode>;
