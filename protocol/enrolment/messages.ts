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
import { base64, hex, line } from './fields.ts';
import { inventorySchema, runningSchema } from './inventory.ts';
import { quoteSchema } from './quote.ts';

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

const words = z.array(z.string()).check(z.length(4));

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

export const errorReply = z.strictObject({
  error: z.strictObject({ code: z.string(), what: z.string(), next: z.optional(z.string()) }),
});

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
  diskAsk: '/v1/enrol/disk-ask',
  diskEvidence: '/v1/enrol/disk-evidence',
  heartbeat: '/v1/heartbeat',
  nonce: '/v1/attest/nonce',
  attest: '/v1/attest',
  time: '/v1/time',
  secretsNonce: '/v1/secrets/nonce',
  secrets: '/v1/secrets',
  growth: '/v1/slice/growth',
} as const;
