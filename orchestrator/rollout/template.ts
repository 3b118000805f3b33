/** A template: a spec that names no version. The version comes when somebody plans or starts with it. */
import { parseDocument } from './document.ts';
import { KINDS, type Refusal } from './spec.ts';

/** Characters. Templates stay in the log of decisions for ever, and one that lists thousands of nodes is no template. */
export const MAX_TEMPLATE_TEXT = 64 * 1024;

/** What somebody says at the start: an image, a configuration, or services, each `NAME:VERSION`. */
export type Version = {
  image?: string | undefined;
  config?: string | undefined;
  services?: readonly string[] | undefined;
};

/**
 * The text of a spec, with a version that it leaves open. What it says itself is never replaced: then nobody who reads the file
 * knows what is rolled out. A text that is no spec is left for `parseDocument` to refuse.
 */
export function fillIn(
  text: string,
  version: Version,
): { ok: true; text: string } | { ok: false; refusals: Refusal[] } {
  const given = KINDS.flatMap((kind) =>
    version[kind] === undefined ? [] : [[kind, version[kind]] as const],
  );
  const spec = objectIn(text);
  if (given.length === 0 || spec === null) return { ok: true, text };
  const refusals = given.flatMap(([kind, value]): Refusal[] => {
    if (!Object.hasOwn(spec, kind) || JSON.stringify(spec[kind]) === JSON.stringify(value)) return [];
    const said = JSON.stringify(spec[kind]).slice(0, 80);
    return [
      {
        field: kind,
        reason: `is ${said} in the spec, and ${String(value)} was asked for: leave one of them out`,
      },
    ];
  });
  if (refusals.length > 0) return { ok: false, refusals };
  return { ok: true, text: JSON.stringify({ ...spec, ...Object.fromEntries(given) }) };
}

/** Everything that can be said without a version and without a fleet; empty: it may be kept. */
export function checkTemplate(text: string): Refusal[] {
  if (text.length > MAX_TEMPLATE_TEXT)
    return [{ field: '(whole spec)', reason: `is larger than ${MAX_TEMPLATE_TEXT / 1024} KiB` }];
  const spec = objectIn(text);
  if (spec === null) {
    const checked = parseDocument(text);
    return checked.ok ? [] : checked.refusals;
  }
  const { image: _, config: __, services: ___, ...rest } = spec;
  const checked = parseDocument(JSON.stringify({ ...rest, image: '0' }));
  return [
    ...KINDS.filter((kind) => Object.hasOwn(spec, kind)).map((field) => ({
      field,
      reason: `does not belong in a template: it is said at the start, with --${field === 'services' ? 'service' : field}`,
    })),
    ...(checked.ok ? [] : checked.refusals),
  ];
}

function objectIn(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}
