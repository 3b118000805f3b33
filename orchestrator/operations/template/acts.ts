import { refused } from '../../rollout/refused.ts';
import { listTemplates, readTemplate, removeTemplate, setTemplate } from '../../rollout/run/templates.ts';
import { checkTemplate } from '../../rollout/template.ts';
import type { Acting } from '../operation.ts';

type Name = { name: string };

/** @throws BootwaveError `ROLLOUT_REFUSED` with every field and reason, and what `setTemplate` throws */
export async function set({ name, text }: Name & { text: string }, { fleet, by }: Acting) {
  const refusals = checkTemplate(text);
  if (refusals.length > 0) throw refused(refusals, 'the template was not kept');
  return setTemplate(fleet, name, text, by);
}

export const list = (_: object, { fleet }: Acting) => listTemplates(fleet);
export const show = ({ name }: Name, { fleet }: Acting) => readTemplate(fleet, name);
export const remove = ({ name }: Name, { fleet, by }: Acting) => removeTemplate(fleet, name, by);
