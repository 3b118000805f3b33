/**
 * A node's configuration, as a document that never changes once it is published. Both sides share this file: the
 * orchestrator makes the bytes, the signed order names their SHA-256, the node checks both and reads them here.
 */
import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import * as z from 'zod/mini';
import { BootwaveError } from '../../base/error.ts';
import { versionSchema } from '../../formats/version.ts';
import { type SysctlValue, sysctlRefusal } from './sysctls.ts';

const CONFIG_FORMAT = 1;

export const CONFIG_LIMITS = {
  /** Of the document. Its base64 (44 kB) fits into a frame of the link and into a line to the helper. */
  bytes: 32 * 1024,
  /** NTP or DNS servers. */
  servers: 8,
  labels: 64,
} as const;
export const CONFIG_BASE64 = Math.ceil(CONFIG_LIMITS.bytes / 3) * 4;

/** RFC 1123 2.1: labels of letters, digits and hyphens. */
const HOST =
  /^(?=.{1,253}$)[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?(?:\.[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?)*$/;

// Without a zone (fe80::1%eth0): the name of an interface is not the same on every node.
const address = z
  .string()
  .check(z.refine((text) => isIP(text) !== 0 && !text.includes('%'), { error: 'is not an IP address' }));
const host = z.string().check(
  z.refine((text) => (isIP(text) !== 0 && !text.includes('%')) || isHostName(text), {
    error: 'is neither an IP address nor a host name',
  }),
);
const servers = <T extends typeof address>(one: T) =>
  z.array(one).check(
    z.maxLength(CONFIG_LIMITS.servers),
    z.refine((all) => new Set(all).size === all.length, { error: 'names a server twice' }),
  );

const sysctls = z.record(z.string(), z.union([z.number(), z.string(), z.array(z.number())])).check((ctx) => {
  for (const [key, value] of Object.entries(ctx.value)) {
    const why = sysctlRefusal(key, value as SysctlValue);
    if (why !== null) ctx.issues.push({ code: 'custom', path: [key], message: why, input: value });
  }
});

/** The names are environment variables too (EnvironmentFile=), the values need no quoting anywhere. */
const labels = z
  .record(
    z.string().check(z.regex(/^[a-z](?:[0-9a-z_]{0,61}[0-9a-z])?$/, { error: 'is not a name for a label' })),
    z.string().check(
      z.regex(/^[0-9A-Za-z](?:[0-9A-Za-z._-]{0,61}[0-9A-Za-z])?$/, {
        error: 'must be 1 to 63 letters, digits and . _ - in between',
      }),
    ),
  )
  .check(
    z.refine((all) => Object.keys(all).length <= CONFIG_LIMITS.labels, {
      error: `are more than ${CONFIG_LIMITS.labels}`,
    }),
  );

/** What of a node's journal is kept, how much of it in memory (journald.conf(5)), and where it is sent. */
const level = z.enum(['err', 'warning', 'notice', 'info', 'debug']);
const megabytes = z.int().check(z.gte(8), z.lte(256));
const target = z.strictObject({
  protocol: z.enum(['tcp', 'udp']),
  host,
  port: z.int().check(z.gte(1), z.lte(65_535)),
});
const log = z.strictObject({ level, megabytes, target: z.nullable(target) });
/** As the image has it. */
const draftLog = z.strictObject({
  level: z._default(level, 'debug'),
  megabytes: z._default(megabytes, 32),
  target: z._default(z.nullable(target), null),
});

/** Every document has every field, so that neither side can forget one. */
const configSchema = z.strictObject({
  format: z.literal(CONFIG_FORMAT),
  version: versionSchema,
  sysctls,
  /** In addition to those that DHCP names. */
  ntp: servers(host),
  /** Replace those that DHCP names; empty: those of DHCP are used. */
  dns: servers(address),
  /** Null: as the image has it. */
  log: z.nullable(log),
  /** For people, selectors and services; nothing on the node acts on them. */
  labels,
});
export type NodeConfiguration = z.infer<typeof configSchema>;

/** As a person writes it: without what the publication says, and without what stays as it is. */
const draftSchema = z.strictObject({
  sysctls: z._default(sysctls, {}),
  ntp: z._default(servers(host), []),
  dns: z._default(servers(address), []),
  log: z._default(z.nullable(draftLog), null),
  labels: z._default(labels, {}),
});

export function digestOf(document: Uint8Array): string {
  return createHash('sha256').update(document).digest('hex');
}

/**
 * The one spelling of a configuration: keys sorted, no white space, UTF-8.
 * @throws BootwaveError `CONFIG_MALFORMED` naming the field, `CONFIG_OVERSIZED`
 */
export function makeDocument(draft: unknown, version: string): Buffer {
  const checked = draftSchema.safeParse(draft);
  if (!checked.success) throw malformed(checked.error);
  const { sysctls, ntp, dns, log, labels } = checked.data;
  const whole = configSchema.safeParse({
    format: CONFIG_FORMAT,
    version,
    sysctls: sorted(sysctls),
    ntp,
    dns,
    log,
    labels: sorted(labels),
  });
  if (!whole.success) throw malformed(whole.error);
  const document = Buffer.from(JSON.stringify(whole.data), 'utf8');
  if (document.length > CONFIG_LIMITS.bytes) throw oversized(document.length);
  return document;
}

/**
 * Reads a document as the node does. The order that names its digest says which node it is for.
 * @throws BootwaveError `CONFIG_MALFORMED` or `CONFIG_OVERSIZED`, and nothing else whatever the bytes are
 */
export function readDocument(document: Uint8Array): NodeConfiguration {
  if (document.length > CONFIG_LIMITS.bytes) throw oversized(document.length);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(document));
  } catch {
    throw malformed('it is not JSON in UTF-8');
  }
  const checked = configSchema.safeParse(value);
  if (!checked.success) throw malformed(checked.error);
  return checked.data;
}

function isHostName(text: string): boolean {
  // Only digits and dots would be an invalid address: the last label of a host name is never a number (RFC 3696 2).
  return HOST.test(text) && !/(?:^|\.)[0-9]+$/.test(text);
}

function sorted<T>(record: Record<string, T>): Record<string, T> {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
}

type Issues = { issues: readonly z.core.$ZodIssue[] };

function malformed(error: Issues | string): BootwaveError {
  const why = typeof error === 'string' ? error : wordsOf(error.issues[0]);
  return new BootwaveError({
    code: 'CONFIG_MALFORMED',
    what: `this is not a configuration: ${why}`,
    unchanged: 'the configuration in force stays in force',
    next: 'docs/configuration.md says what a configuration may hold; an older image may know less of it',
  });
}

function wordsOf(issue: z.core.$ZodIssue | undefined): string {
  if (issue === undefined) return 'unknown';
  const field = issue.path.map(String).join('.') || 'it';
  // The node has zod's mini build, which has no messages for most issues.
  if (issue.code === 'unrecognized_keys')
    return `${field} has a field that nothing knows: ${issue.keys.join(', ').slice(0, 80)}`;
  return `${field}: ${issue.message}`;
}

function oversized(bytes: number): BootwaveError {
  return new BootwaveError({
    code: 'CONFIG_OVERSIZED',
    what: `the configuration takes ${bytes} bytes; the most is ${CONFIG_LIMITS.bytes}`,
    unchanged: 'the configuration in force stays in force',
  });
}
