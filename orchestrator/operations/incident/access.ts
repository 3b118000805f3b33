import { whyText } from '../../../base/error.ts';
import type { Look, RescueRequest } from '../../../protocol/agent/rescue.ts';
import type { NodeRecord } from '../../fleet/record.ts';
import { note } from '../../power/switch.ts';
import { beginTranscript } from '../../power/transcript.ts';
import { type Access, closeAccess, lookInto, openAccess } from '../../recovery/access.ts';
import { targetsOf } from '../../rollout/run/targets.ts';
import type { Acting } from '../operation.ts';

type Asked = { node: string; reason: string; look: Look | 'hash' | null; disk?: string | undefined };
/** `bytes`: base64; null: nothing was asked for. `sha256`: of the transcript, which the history has, too. */
export type Looked = {
  node: string;
  /** When the access ends, milliseconds since the epoch. */
  until: number;
  seen: { bytes: string; more: boolean; transcript: string; sha256: string } | null;
};

const ACTION = 'incident-access';

/** @throws BootwaveError `INCIDENT_*`, `RESCUE_*`, `LINK_*` */
export async function access(asked: Asked, acting: Acting): Promise<Looked> {
  const record = await acting.fleet.nodes.resolve(asked.node);
  const opened = await openAccess(acting.fleet, record, acting.by);
  const { until } = opened;
  if (opened.fresh)
    await note(acting, record, `until ${new Date(until).toISOString()}: ${asked.reason}`, ACTION);
  const request = requestOf(asked);
  const seen = request === null ? null : await recorded(record, opened, request, acting);
  return { node: record.name, until, seen };
}

export async function leave(
  { node }: { node: string },
  acting: Acting,
): Promise<{ node: string; changed: boolean }> {
  const record = await acting.fleet.nodes.resolve(node);
  const changed = await closeAccess(acting.fleet, record.id, acting.by);
  if (changed) await note(acting, record, 'over: nobody looks any more', ACTION);
  return { node: record.name, changed };
}

function requestOf({ look, disk = '' }: Asked): RescueRequest | null {
  if (look === null) return null;
  return look === 'hash' ? { operation: 'hash-disk', disk } : { operation: 'look', look };
}

/** As a console is: the person sees nothing that is not in a transcript, and its hash is in the history. */
async function recorded(record: NodeRecord, opened: Access, request: RescueRequest, acting: Acting) {
  const { fleet, paths, by, signal } = acting;
  const what = request.operation === 'look' ? request.look : `hash of disk ${request.disk}`;
  const title = `${what} of ${record.name} in rescue, for ${by.actor}`;
  const transcript = await beginTranscript(paths.consoles, { title, at: by.at });
  await note(acting, record, `${what}; ${transcript.name}`, ACTION);
  const outcome = await lookInto(await targetsOf(fleet)(record.id), opened, request, {
    ...{ who: `incident ${opened.incident.number} of ${record.name}, ${by.actor}`, signal, fleet },
  }).then(
    async (seen) => {
      await transcript.add(seen.bytes);
      return { seen };
    },
    (error: unknown) => ({ error }),
  );
  const sha256 = await transcript.end();
  const why = 'error' in outcome ? whyText(outcome.error) : `${outcome.seen.bytes.length} bytes shown`;
  await note(
    { fleet, by: { ...by, at: Date.now() } },
    record,
    `over: ${why}; ${transcript.name} has SHA-256 ${sha256}`,
    ACTION,
  );
  if ('error' in outcome) throw outcome.error;
  const { bytes, more } = outcome.seen;
  return { bytes: bytes.toString('base64'), more, transcript: transcript.name, sha256 };
}
