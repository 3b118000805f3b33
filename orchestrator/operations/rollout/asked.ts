import { BootwaveError } from '../../../base/error.ts';
import { sliceOf } from '../../../protocol/service/name.ts';
import type { Fleet } from '../../fleet/fleet.ts';
import { parseDocument } from '../../rollout/document.ts';
import { refused } from '../../rollout/refused.ts';
import { readTemplate } from '../../rollout/run/templates.ts';
import { readWish } from '../../rollout/services.ts';
import type { Refusal } from '../../rollout/spec.ts';
import { fillIn, type Version } from '../../rollout/template.ts';

/** What runs in a slice is its owner's to say. */
function refuseSlices(text: string): Refusal[] {
  const document = parseDocument(text);
  return (document.ok ? document.parts : []).flatMap(({ spec }) =>
    (spec.services ?? []).flatMap((one, index): Refusal[] => {
      const slice = sliceOf(readWish(one)?.name ?? '');
      if (slice === null) return [];
      return [
        {
          field: `services[${index}]`,
          reason: `is of slice ${slice}: 'bootwave slice run ${slice} SERVICE:VERSION' brings it`,
        },
      ];
    }),
  );
}

/** What somebody wants to roll out: a spec or the name of a template, and the version that it leaves open. */
export type Asked = Version & { spec?: string | undefined; template?: string | undefined };

/**
 * @returns the text of the spec, with the version in it
 * @throws BootwaveError `ROLLOUT_SPEC_WHAT`, `ROLLOUT_REFUSED`, `TEMPLATE_UNKNOWN`
 */
export async function specOf({ spec, template, ...version }: Asked, fleet: Fleet): Promise<string> {
  if ((spec === undefined) === (template === undefined))
    throw new BootwaveError({
      code: 'ROLLOUT_SPEC_WHAT',
      what: 'a spec file is needed, or the name of a template; one of the two',
      unchanged: 'nothing was started',
      next: "bootwave rollout plan spec.json, or --template NAME ('bootwave rollout template list')",
    });
  const text = spec ?? (await readTemplate(fleet, template ?? '')).text;
  const filled = fillIn(text, version);
  if (!filled.ok) throw refused(filled.refusals);
  const ofSlices = refuseSlices(filled.text);
  if (ofSlices.length > 0) throw refused(ofSlices);
  return filled.text;
}
