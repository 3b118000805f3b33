/**
 * The messages between a node and its boot server over HTTPS. image/agent imports this file, so it holds schemas and
 * types only. The order of the messages is what makes the four words impossible to grind:
 *
 *   1. start  ->  the server commits to a nonce:   { session, commitment = SHA-256(nonce) }
 *   2. keys   ->  the node fixes EK, AK, CSR key, host key; only now the server reveals the nonce, and a secret
 *                 that nobody reads but the TPM of this EK, while it holds this AK    [TPM 2.0 Part 1, 24]
 *   3. proof  ->  that secret, and a quote by the AK whose extraData is SHA-256(nonce, CSR, host key)
 *                 [TPM 2.0 Part 2, 10.12.8]; before both hold nothing is recorded about the EK
 *   4. status ->  pending | approved (with certificate) | rejected | held (with an order to wipe, see wipe.ts)
 */
// The mini build: the agent's bundle is 13 kB instead of 456 kB, which counts at every boot.
import * as z from 'zod/mini';
import { EVENT_LOG_LIMITS } from '../../formats/efi/event-log.ts';
import type { OrderEnvelope } from '../order-envelope.ts';
import type { FirmwareFacts } from './firmware-facts.ts';

/** Limits in one place, with units. The server refuses what exceeds them before it parses further. */
export const LIMITS = {
  /**
   * Bytes of the request body with keys and inventory. The largest inventory that the schema below permits has about
   * 520 kB, if each character takes three bytes; a machine with 512 disks of usual names has 70 kB.
   */
  bodyBytes: 640 * 1024,
  /** Bytes of one that brings neither these nor an event log. */
  shortBytes: 64 * 1024,
  /** Bytes of a body that may hold an event log. */
  evidenceBytes: 448 * 1024,
  /** Milliseconds between `start` and `proof`. */
  proofWithin: 120_000,
  /** Milliseconds that a session may be polled before the node must start anew. */
  sessionLife: 24 * 3600_000,
  /** Sessions that wait for a proof, some 300 bytes each: more than one server starts in `proofWithin` would fill. */
  sessions: 65_536,
  /** Those of them that have fixed their keys, up to a body each. */
  keyedSessions: 8192,
  /** Sessions that wait for a decision. */
  provenSessions: 4096,
  /** Bytes of inventories that sessions may hold before their proof; beyond it, others go, too. */
  sessionBytes: 128 * 1024 * 1024,
  /** Unproven sessions that one address may hold; beyond it, its own oldest goes, never another machine's. */
  sessionsPerAddress: 64,
  /** Nonces for members that attest between two enrolments, one each; the oldest goes first. */
  nonces: 16_384,
  /** Connections at once, all machines together, and those of one address. */
  connections: 8192,
  connectionsPerAddress: 1024,
  /** Milliseconds that `status` is held open while the decision is pending. */
  statusHold: 20_000,
} as const;

/** The fixed name in every boot server's certificate (DNS SAN); the address may be anything. */
export const SERVER_NAME = 'boot.bootwave';

/** DHCP option 60 of the agent's own request, and of our answer to it. */
export const VENDOR_CLASS = 'bootwave';

/** In option 43 of that answer: sub-option 1 is the HTTPS base URL of the boot server, UTF-8. */
export const OPTION43_URL = 1;

export const hex = (bytes: number) => z.string().check(z.regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`)));
export const base64 = (max: number) => z.string().check(z.maxLength(max), z.regex(/^[A-Za-z0-9+/]*={0,2}$/));
/** No control characters, and no half of a surrogate pair: JSON can carry one, UTF-8 and Redis cannot. */
const line = (max: number) => z.string().check(z.maxLength(max), z.regex(/^[^\p{Cc}\p{Cs}]*$/u));
const count = (max = Number.MAX_SAFE_INTEGER) => z.int().check(z.gte(0), z.lte(max));
const mac = z.string().check(z.regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/));
const words = z.array(z.string()).check(z.length(4));

export const inventorySchema = z.strictObject({
  uuid: line(64),
  manufacturer: line(128),
  product: line(128),
  serial: line(128),
  firmware: z.strictObject({
    kind: z.enum(['uefi', 'bios']),
    vendor: line(128),
    version: line(128),
    date: line(32),
  }),
  secureBoot: z.enum(['on', 'off', 'setup', 'absent']),
  cpu: z.strictObject({ model: line(128), threads: count(65536) }),
  /** Bytes. */
  memory: count(),
  /** `speed` in Mb/s, null while the link is down. */
  nics: z
    .array(z.strictObject({ name: line(32), mac, driver: line(64), speed: z.nullable(z.int()) }))
    .check(z.maxLength(64)),
  /** `size` in bytes. */
  disks: z
    .array(
      z.strictObject({
        name: line(32),
        size: count(),
        model: line(128),
        serial: line(128),
        rotational: z.boolean(),
      }),
    )
    .check(z.maxLength(512)),
  tpm: z.nullable(z.strictObject({ manufacturer: line(64), firmware: line(64) })),
});
export type Inventory = z.infer<typeof inventorySchema>;

/** What runs: from os-release (`IMAGE_VERSION`) and the kernel. */
const runningSchema = z.strictObject({
  version: line(64),
  kernel: line(128),
  /** /proc/sys/kernel/random/boot_id: a new one means that the node restarted. */
  bootId: line(64),
});
export type Running = z.infer<typeof runningSchema>;

export const startRequest = z.strictObject({});
export const startReply = z.strictObject({ session: hex(16), commitment: hex(32) });

/** TPM fields are null together, on a machine without a TPM. */
export const keysRequest = z.strictObject({
  session: hex(16),
  tpm: z.nullable(
    z.strictObject({
      /** TPM2B_PUBLIC of the endorsement key, base64. */
      ek: base64(2048),
      /** EK certificate (DER) where the TPM has one, base64. */
      ekCertificate: z.nullable(base64(8192)),
      /** TPM2B_PUBLIC of the attestation key, base64. */
      ak: base64(2048),
    }),
  ),
  /** PKCS#10, DER, base64. P-256. */
  csr: base64(4096),
  /** OpenSSH public key line `ssh-ed25519 AAAA...`. */
  hostKey: z.string().check(z.regex(/^ssh-ed25519 [A-Za-z0-9+/]{68}$/)),
  inventory: inventorySchema,
  running: runningSchema,
  /** Single-use enrolment token, when the site admin gave one. */
  token: z.nullable(line(128)),
});
export type KeysRequest = z.infer<typeof keysRequest>;
export const keysReply = z.strictObject({
  nonce: hex(32),
  /** Null on a machine without a TPM. */
  credential: z.nullable(
    z.strictObject({
      /** TPM2B_ID_OBJECT, base64. */
      blob: base64(512),
      /** TPM2B_ENCRYPTED_SECRET, base64. */
      seed: base64(2048),
    }),
  ),
});
export type KeysReply = z.infer<typeof keysReply>;

/** PCRs that every quote covers, SHA-256 bank. 7, 11, 12, 13 are enforced, the rest is policy (the trust issue). */
export const QUOTED_PCRS = [0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 13] as const;

export const quoteSchema = z.strictObject({
  /** TPMS_ATTEST, base64. */
  attest: base64(4096),
  /** TPMT_SIGNATURE, base64. */
  signature: base64(2048),
  /** PCR index -> SHA-256 value, hex. */
  pcrs: z.record(z.string().check(z.regex(/^\d{1,2}$/)), hex(32)),
  /** The firmware's own log of what it measured, base64; null where the kernel has none, absent from older images. */
  eventLog: z.optional(z.nullable(base64(Math.ceil(EVENT_LOG_LIMITS.bytes / 3) * 4))),
});

export const proofRequest = z.strictObject({
  session: hex(16),
  /** What TPM2_ActivateCredential gave out; null without a TPM. */
  secret: z.nullable(hex(32)),
  quote: z.nullable(quoteSchema),
  /** Without a TPM: ECDSA-SHA256 (DER) by the CSR key over the same 32 bytes, base64. Null when there is a quote. */
  signature: z.nullable(base64(512)),
});
export type ProofRequest = z.infer<typeof proofRequest>;

export const statusRequest = z.strictObject({ session: hex(16) });

/** Answers both `proof` and `status`. */
export const statusReply = z.discriminatedUnion('state', [
  z.strictObject({
    state: z.literal('pending'),
    id: line(80),
    words,
    /** Seconds to wait before asking again. `status` itself is held open while the decision is pending. */
    retryAfter: z.number(),
  }),
  z.strictObject({
    state: z.literal('approved'),
    id: line(80),
    name: line(64),
    words,
    /** PEM, the node's certificate first, then the nodes CA. */
    chain: z.string(),
    /** Seconds between heartbeats. */
    heartbeat: z.number(),
  }),
  z.strictObject({
    state: z.literal('rejected'),
    id: line(80),
    words,
    reason: line(256),
    /** The machine is refused for what it started in this boot: it has to start again. */
    restart: z.optional(z.literal(true)),
  }),
  /** The machine is known, and nobody lets it in before its disks are wiped: it gets this order and nothing else. */
  z.strictObject({
    state: z.literal('held'),
    id: line(80),
    words,
    name: line(64),
    /** Why it is held, or why there is no order now. */
    reason: line(256),
    /** The envelope; null: there is none now. */
    order: z.unknown(),
    /** Its keys are those of before it was held: it has to start again. */
    restart: z.optional(z.literal(true)),
  }),
]);
export type StatusReply = z.infer<typeof statusReply>;

/** Errors that the kernel has counted: of memory that were not corrected, of disks and file systems. Null: it counts none. */
const errorsSchema = z.strictObject({
  memory: z.nullable(z.int().check(z.gte(0))),
  disk: z.nullable(z.int().check(z.gte(0))),
});
export type HardwareErrors = z.infer<typeof errorsSchema>;

const hardwareTold = z.extend(errorsSchema, {
  /** Its clock, milliseconds since the epoch. */
  clock: z.int().check(z.gte(0)),
});
export type HardwareTold = z.infer<typeof hardwareTold>;

/** Over mutual TLS. */
export const heartbeatSchema = z.strictObject({
  running: runningSchema,
  /** Seconds since boot. */
  uptime: z.number().check(z.gte(0)),
  healthy: z.boolean(),
  /** Why it is not, else empty. */
  reason: line(256),
  /** Sent to a boot server that has asked for it: older ones take no other fields than they know. */
  hardware: z.optional(hardwareTold),
});
export type Heartbeat = z.infer<typeof heartbeatSchema>;
export const heartbeatReply = z.object({
  /** Seconds. */
  interval: z.number(),
  /** Seconds within which to renew the certificate, at a time of the node's own choice: its CA is on its way out. */
  renew: z.optional(z.number().check(z.gte(0))),
  /** Seconds between two attestations; absent: only enrolments attest. */
  attest: z.optional(z.number()),
  /** Number of the last change of any secret here; absent: there was none. */
  secrets: z.optional(z.int().check(z.gte(0))),
  /** The next heartbeat may tell of the hardware. */
  hardware: z.optional(z.literal(true)),
  /** URL below which this boot server has its images, by plain HTTP: what a node fetches, it holds against a signed digest. */
  images: z.optional(z.string().check(z.maxLength(256), z.regex(/^http:\/\/[0-9A-Za-z.:[\]/-]+$/))),
});

/** Over mutual TLS, between two enrolments: a nonce, then a quote over it (TPM 2.0 Part 3, 18.4). */
export const nonceRequest = z.strictObject({});
export const nonceReply = z.strictObject({ nonce: hex(32) });
export const attestRequest = z.strictObject({
  /** TPM2B_PUBLIC of the attestation key that the machine enrolled with, base64. */
  ak: base64(2048),
  quote: quoteSchema,
});
export const attestReply = z.object({});

/**
 * The server's time, signed by the key of its certificate. A machine whose clock is wrong refuses that certificate
 * because of its dates, so it asks for the time before it judges them, over a connection that proves nothing. Nobody
 * else has that key.
 */
export const timeRequest = z.strictObject({ nonce: hex(32) });
export const timeReply = z.strictObject({
  /** Milliseconds since the epoch. */
  time: count(),
  /** ECDSA with SHA-256 (DER) over `timeData`, base64. */
  signature: base64(512),
  /** PEM: the server's certificate, then the servers CA. */
  chain: z.string().check(z.maxLength(16_384)),
});
export type TimeReply = z.infer<typeof timeReply>;

export const errorReply = z.strictObject({
  error: z.strictObject({ code: z.string(), what: z.string(), next: z.optional(z.string()) }),
});

/** TPMS_CLOCK_INFO (TPM 2.0 Part 2, 10.11.1). */
export type TpmClock = {
  /** That the TPM was powered; approximate above 2^53. */
  milliseconds: number;
  /** TPM Resets and TPM Restarts since the TPM was last cleared. */
  resets: number;
  restarts: number;
  /** Whether no larger clock value was ever shown. */
  safe: boolean;
};

/** What the enrolment server hands to the fleet once the proof holds. */
export type Enrolment = {
  /** `tpm-<hex SHA-256 of the EK's TPMT_PUBLIC>`; without a TPM `dev-<hex SHA-256 of UUID, serial and MACs>`. */
  id: string;
  /** Hex SHA-256 of the EK's TPMT_PUBLIC; null without a TPM. */
  ekDigest: string | null;
  /** TPM name of the AK, hex; null without a TPM. The fleet refuses one that differs from the approved one. */
  akName: string | null;
  /** SHA-256 of the CSR's SubjectPublicKeyInfo, hex. */
  spkiDigest: string;
  hostKey: string;
  words: readonly [string, string, string, string];
  inventory: Inventory;
  running: Running;
  /** Whether the TPM's maker vouches for the EK, as far as the operator's roots say; null without a TPM. */
  ekCertificate: { verified: boolean; reason: string } | null;
  /** PCR values as quoted, null without a TPM. */
  pcrs: Readonly<Record<string, string>> | null;
  /** The TPM's own clock as quoted, null without a TPM. */
  clock: TpmClock | null;
  /** Number of the nonce that was proved, see `NodeDirectory.numberNonce`. */
  nonceNumber: number;
  /** What the replayed event log says of the firmware; null without one. */
  firmware: FirmwareFacts | null;
  token: string | null;
  /** Address it came from. */
  address: string;
  at: number;
};

export type EnrolmentDecision =
  | { state: 'pending' }
  | { state: 'approved'; name: string }
  | { state: 'held'; name: string; reason: string; order: OrderEnvelope | null; restart?: true }
  /** `restart`: nothing that this boot does can change it. */
  | { state: 'rejected'; reason: string; restart?: true };

/** The one URI SAN of a node's certificate; the record's id follows. */
export const NODE_URI = 'spiffe://bootwave/node/';

/** Paths below the HTTPS base URL; all take POST and JSON. */
export const PATHS = {
  start: '/v1/enrol/start',
  keys: '/v1/enrol/keys',
  proof: '/v1/enrol/proof',
  status: '/v1/enrol/status',
  wipeNonce: '/v1/enrol/wipe-nonce',
  wiped: '/v1/enrol/wiped',
  heartbeat: '/v1/heartbeat',
  nonce: '/v1/attest/nonce',
  attest: '/v1/attest',
  time: '/v1/time',
  secretsNonce: '/v1/secrets/nonce',
  secrets: '/v1/secrets',
} as const;
