/**
 * What is kept of an incident for later: one tar file for each time that somebody collects, on this server's disk, with its SHA-256 in the incident,
 * which is a decision. Bounded in bytes and time; what cannot be had is named in it, and keeps nothing else from being had.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import tar from 'tar-stream';
import { BootwaveError, refusal, whyText } from '../../base/error.ts';
import { writeFileAtomic } from '../../base/files.ts';
import { LOOKS, type RescueRequest } from '../../protocol/agent/rescue.ts';
import type { By } from '../fleet/acting.ts';
import { type Incident, isHeldBy, rescueOf } from '../fleet/decisions/incidents.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { NodeRecord } from '../fleet/record.ts';
import { targetsOf } from '../rollout/run/targets.ts';
import { lookInto, openAccess } from './access.ts';
import { decideIncident } from './incidents.ts';

export const EVIDENCE = {
  /** Of one node's incident; each has at most a few MiB. */
  files: 16,
  /** Entries of the node's history. */
  history: 5000,
  /** Milliseconds after which a node is asked nothing more but hashes: one that answers slowly holds nobody up. */
  looks: 5 * 60_000,
} as const;

export type Part = { name: string; bytes: Buffer };
export type Collected = NonNullable<Incident['collected']>[number];

/** What a node in rescue is asked. @returns what it shows */
export type Show = (request: RescueRequest) => Promise<{ bytes: Buffer; more: boolean }>;

export type Shown = {
  /** Null: the node is not asked. */
  show: Show | null;
  /** Of which the node hashes every byte. */
  disks: readonly string[];
  /** Nothing is kept where it fires. */
  signal: AbortSignal;
  /** Milliseconds after which nothing more is asked but hashes. */
  looks?: number;
  /** At which it is collected by itself; left out: a person asked for it. */
  moment?: string;
};

/**
 * @throws BootwaveError `EVIDENCE_FULL`, the reason of `signal`, and what `decideIncident` throws
 */
export async function collect(
  { fleet, folder }: { fleet: Fleet; folder: string },
  { record, incident }: { record: NodeRecord; incident: Incident },
  asked: Shown,
  by: By,
): Promise<Collected> {
  checkRoom(incident);
  const { show, moment } = asked;
  const { parts: more, missing } =
    show === null ? { parts: [], missing: [] } : await shownBy({ ...asked, show });
  const history = await fleet.audit.read({ node: record.id, last: EVIDENCE.history });
  const parts = [
    { name: 'incident.json', bytes: json(incident) },
    // With what its TPM has quoted last, and the verdict.
    { name: 'record.json', bytes: json(record) },
    { name: 'history.jsonl', bytes: Buffer.from(history.map((one) => `${JSON.stringify(one)}\n`).join('')) },
    ...more,
  ];
  return keep({ fleet, folder }, { record, incident }, { parts, missing, moment }, by);
}

/** @param change of the incident, which is decided with it @throws BootwaveError as `collect` */
export async function keep(
  { fleet, folder }: { fleet: Fleet; folder: string },
  { record, incident }: { record: Pick<NodeRecord, 'id'>; incident: Incident },
  { parts, missing, moment }: { parts: readonly Part[]; missing: string[]; moment: string | undefined },
  by: By,
  change: (now: Incident) => Incident = (now) => now,
): Promise<Collected> {
  checkRoom(incident);
  const bytes = await packed(parts, by.at);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const time = new Date(by.at).toISOString().replaceAll(/[:.]/g, '-');
  // With its hash: none is ever written over by another one.
  const name = `${record.id}-${incident.number}-${time}-${sha256.slice(0, 12)}.tar`;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFileAtomic(join(folder, name), bytes, 0o600);
  const made = { file: name, sha256, bytes: bytes.length, at: by.at, by: by.actor, missing };
  const one = moment === undefined ? made : { ...made, moment };
  await decideIncident(
    fleet,
    record.id,
    (now) => {
      // It may have ended meanwhile, or be the next one already.
      if (now?.number !== incident.number) throw over(incident);
      checkRoom(now);
      return { ...change(now), collected: [...(now.collected ?? []), one] };
    },
    by,
  );
  return one;
}

/**
 * When evidence is collected with no person asked: once for each fence, before the wipe, and once for each rescue.
 * @returns null: nothing is to be collected, or it was
 */
export function momentOf(incident: Incident, now: number): string | null {
  const rescue = rescueOf(incident, now) === null ? null : `rescue ${incident.rescue!.at}`;
  const moment = isHeldBy(incident) ? `fence ${incident.tries.returns ?? 0}` : rescue;
  return incident.collected?.some((one) => one.moment === moment) ? null : moment;
}

/** Asks a node in rescue, with an access of its own half an hour. @throws BootwaveError `INCIDENT_*`, `NODE_NOT_MEMBER` */
export async function showOf(
  record: NodeRecord,
  { fleet, by, signal }: { fleet: Fleet; by: By; signal: AbortSignal },
): Promise<Show> {
  const opened = await openAccess(fleet, record, by);
  const target = await targetsOf(fleet)(record.id);
  const who = `incident ${opened.incident.number} of ${record.name}, evidence for ${by.actor}`;
  return (request) => lookInto(target, opened, request, { fleet, who, signal });
}

/** @throws BootwaveError `EVIDENCE_NONE`, `EVIDENCE_GONE`, `EVIDENCE_CHANGED` */
export async function kept(
  folder: string,
  { name, collected = [] }: Incident,
  file?: string,
): Promise<Buffer> {
  const one = file === undefined ? collected.at(-1) : collected.find((some) => some.file === file);
  if (one === undefined)
    throw refusal(
      'EVIDENCE_NONE',
      `nothing${file === undefined ? '' : ` of that name`} was collected of the last incident of ${name}`,
      `bootwave incident collect ${name} --reason WHY`,
    );
  const bytes = await readFile(join(folder, one.file)).catch((cause: unknown) => {
    throw new BootwaveError({
      code: 'EVIDENCE_GONE',
      what: `${one.file} is not on this server: ${whyText(cause)}`,
      unchanged: 'nothing was shown',
      next: 'it is on the server that collected it, or in a backup of that',
      cause,
    });
  });
  if (createHash('sha256').update(bytes).digest('hex') === one.sha256) return bytes;
  throw new BootwaveError({
    code: 'EVIDENCE_CHANGED',
    what: `${one.file} is not what was collected: its SHA-256 is not the one that was decided`,
    unchanged: 'nothing was shown',
    next: 'find out who wrote to the disk of this server; a backup may have the file',
  });
}

/** All that a node in rescue shows, one after the other. */
async function shownBy({ show, disks, signal, looks = EVIDENCE.looks }: Shown & { show: Show }) {
  const asked: [string, RescueRequest][] = [
    ...LOOKS.map((look): [string, RescueRequest] => [look, { operation: 'look', look }]),
    ...disks.map((disk, i): [string, RescueRequest] => [`hash-${i + 1}`, { operation: 'hash-disk', disk }]),
  ];
  const parts: Part[] = [];
  const missing: string[] = [];
  const last = performance.now() + looks;
  for (const [name, request] of asked) {
    if (request.operation === 'look' && performance.now() > last) {
      missing.push(`${name}: the node took too long for what came before`);
      continue;
    }
    try {
      const { bytes, more } = await show(request);
      parts.push({ name: `node/${name}`, bytes });
      if (more) missing.push(`${name}: its beginning, it is too long`);
    } catch (error) {
      signal.throwIfAborted();
      missing.push(`${name}: ${whyText(error)}`.slice(0, 300));
    }
  }
  return { parts, missing };
}

function packed(parts: readonly Part[], at: number): Promise<Buffer> {
  const pack = tar.pack();
  for (const { name, bytes } of parts)
    pack.entry({ name, mode: 0o600, mtime: new Date(at), size: bytes.length }, bytes);
  pack.finalize();
  return buffer(pack);
}

const json = (value: unknown): Buffer => Buffer.from(`${JSON.stringify(value, null, 2)}\n`);

function checkRoom({ name, collected = [] }: Incident): void {
  if (collected.length < EVIDENCE.files) return;
  throw refusal(
    'EVIDENCE_FULL',
    `evidence of this incident of ${name} was collected ${EVIDENCE.files} times`,
    `'bootwave incident evidence ${name}' shows it`,
  );
}

const over = ({ name, number }: Incident): BootwaveError =>
  refusal('INCIDENT_OVER', `incident ${number} of ${name} is not its last one any more`, 'collect again');
