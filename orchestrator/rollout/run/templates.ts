/** The templates that the fleet keeps. Each is a decision: whoever owns Redis cannot change what others start with. */
import { z } from 'zod';
import { type BootwaveError, refusal } from '../../../base/error.ts';
import type { By } from '../../fleet/acting.ts';
import { DecidedRecords } from '../../fleet/decisions/records.ts';
import type { Fleet } from '../../fleet/fleet.ts';
import { KEYS } from '../../fleet/keys.ts';
import { checkName } from '../../fleet/names.ts';

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

const RECORDS = new DecidedRecords<Template>({
  ...{ key: KEYS.template, all: KEYS.templates, schema: templateSchema, unreadable: 'TEMPLATE_UNREADABLE' },
  nameOf: ({ name }) => name,
  stateOf: ({ state }) => state,
  shown: (name) => `template '${name}'`,
});

/** @throws BootwaveError `TEMPLATE_UNKNOWN`, `TEMPLATE_UNREADABLE` */
export async function readTemplate(fleet: Fleet, name: string): Promise<Template> {
  const known = await RECORDS.read(fleet, name);
  if (known?.state === 'kept') return known;
  throw unknown(name);
}

/** By name. */
export async function listTemplates(fleet: Fleet): Promise<Template[]> {
  return [...(await RECORDS.list(fleet)).values()].filter(({ state }) => state === 'kept');
}

/**
 * @param text checked by the caller (template.ts)
 * @throws BootwaveError `NAME_INVALID`, `TEMPLATE_UNREADABLE`, `FLEET_CONTENDED`
 */
export async function setTemplate(fleet: Fleet, name: string, text: string, by: By): Promise<Template> {
  checkName(name, 'template');
  return write(fleet, name, by, 'set', (known) =>
    known?.state === 'kept' && known.text === text ? null : { state: 'kept', text },
  );
}

/** @throws BootwaveError `TEMPLATE_UNKNOWN`, `TEMPLATE_UNREADABLE`, `FLEET_CONTENDED` */
export async function removeTemplate(fleet: Fleet, name: string, by: By): Promise<Template> {
  return write(fleet, name, by, 'remove', (known) => {
    if (known?.state !== 'kept') throw unknown(name);
    return { state: 'removed', text: '' };
  });
}

/** @param change of what is known; null: it stays as it is */
async function write(
  fleet: Fleet,
  name: string,
  by: By,
  what: 'set' | 'remove',
  change: (known: Template | undefined) => Pick<Template, 'state' | 'text'> | null,
): Promise<Template> {
  const { before, after } = await RECORDS.decide(fleet, name, by, (known, epoch) => {
    const changed = change(known);
    if (changed === null) return null;
    return {
      next: { name, ...changed, epoch, by: by.actor, at: by.at },
      action: `template-${what}`,
      reason: `template ${name} ${what === 'set' ? 'set' : 'removed'}`,
      detail: { template: name },
    };
  });
  return after ?? before!;
}

function unknown(name: string): BootwaveError {
  return refusal(
    'TEMPLATE_UNKNOWN',
    `there is no template '${name.slice(0, 80)}'`,
    "'bootwave rollout template list' shows all of them",
  );
}
