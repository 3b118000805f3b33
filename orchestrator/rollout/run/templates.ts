/** The templates that the fleet keeps. Each is a decision: whoever owns Redis cannot change what others start with. */
import { z } from 'zod';
import { BootwaveError } from '../../../base/error.ts';
import type { By } from '../../fleet/acting.ts';
import { auditLine } from '../../fleet/audit/audit.ts';
import type { RecordChange } from '../../fleet/commit.ts';
import type { Stored } from '../../fleet/decisions/decisions.ts';
import type { Fleet } from '../../fleet/fleet.ts';
import { KEYS } from '../../fleet/keys.ts';
import { checkName } from '../../fleet/names.ts';
import { contended, ROUNDS } from '../../fleet/outcome.ts';
import { leaveOut, readStored } from '../../fleet/read-stored.ts';

const templateSchema = z.object({
  name: z.string(),
  /** A decision is never deleted: what was removed is known to be. */
  state: z.enum(['kept', 'removed']),
  epoch: z.int().min(1),
  /** As a person wrote it; empty when it is removed. */
  text: z.string(),
  by: z.string(),
  /** Milliseconds since the epoch. */
  at: z.number(),
});
export type Template = z.infer<typeof templateSchema>;

/** @throws BootwaveError `TEMPLATE_UNKNOWN`, `TEMPLATE_UNREADABLE` */
export async function readTemplate(fleet: Fleet, name: string): Promise<Template> {
  const { known } = await look(fleet, name);
  if (known?.state === 'kept') return known;
  throw unknown(name);
}

/** By name. */
export async function listTemplates(fleet: Fleet): Promise<Template[]> {
  const names = await fleet.redis.smembers(KEYS.templates);
  const all = [...new Set([...names, ...fleet.decisions.names(KEYS.template)])].sort();
  const found = await Promise.all(all.map((name) => look(fleet, name).catch(leaveOut)));
  return found.flatMap((one) => (one?.known?.state === 'kept' ? [one.known] : []));
}

/**
 * @param text checked by the caller (template.ts)
 * @throws BootwaveError `NAME_INVALID`, `TEMPLATE_UNREADABLE`, `FLEET_CONTENDED`
 */
export async function setTemplate(fleet: Fleet, name: string, text: string, by: By): Promise<Template> {
  checkName(name, 'template');
  return write(fleet, name, by, 'template-set', (known) =>
    known?.state === 'kept' && known.text === text ? null : { state: 'kept', text },
  );
}

/** @throws BootwaveError `TEMPLATE_UNKNOWN`, `TEMPLATE_UNREADABLE`, `FLEET_CONTENDED` */
export async function removeTemplate(fleet: Fleet, name: string, by: By): Promise<Template> {
  return write(fleet, name, by, 'template-remove', (known) => {
    if (known?.state !== 'kept') throw unknown(name);
    return { state: 'removed', text: '' };
  });
}

/** @param change of what is known; null: it stays as it is */
async function write(
  fleet: Fleet,
  name: string,
  by: By,
  action: string,
  change: (known: Template | null) => Pick<Template, 'state' | 'text'> | null,
): Promise<Template> {
  for (let round = 0; round < ROUNDS; round += 1) {
    const { known, found } = await look(fleet, name);
    const changed = change(known);
    if (changed === null) return known!;
    const epoch = (known?.epoch ?? 0) + 1;
    const after: Template = { name, ...changed, epoch, by: by.actor, at: by.at };
    const record: RecordChange = {
      ...{ key: KEYS.template(name), expect: found },
      next: { state: after.state, epoch, body: JSON.stringify(after) },
    };
    const reason = `template ${name} ${action === 'template-set' ? 'set' : 'removed'}`;
    const done = await fleet.decisions.commit(
      {
        records: [record],
        ops: [{ op: 'join', key: KEYS.templates, value: name }],
        audit: [auditLine({ ...by, action, reason, detail: { template: name } })],
      },
      [fleet.decisions.record(record, by, reason)],
    );
    if (done.result === 'done') return after;
  }
  throw contended(`template '${name}'`, ROUNDS);
}

async function look(
  { decisions }: Fleet,
  name: string,
): Promise<{ known: Template | null; found: Stored['found'] }> {
  const { body, found } = await decisions.stored(KEYS.template(name));
  if (body === null) return { known: null, found };
  const known = readStored(templateSchema, body);
  if (known !== null) return { known, found };
  throw new BootwaveError({
    code: 'TEMPLATE_UNREADABLE',
    what: `the record of template '${name}' cannot be read`,
    unchanged: 'nothing was changed',
    next: 'was it written by a newer version of bootwave? Use that one',
  });
}

function unknown(name: string): BootwaveError {
  return new BootwaveError({
    code: 'TEMPLATE_UNKNOWN',
    what: `there is no template '${name.slice(0, 80)}'`,
    unchanged: 'nothing was changed',
    next: "'bootwave rollout template list' shows all of them",
  });
}
