import type { Overview } from '../../orchestrator/fleet/overview.ts';
import type { Exposure } from '../../orchestrator/releases/exposure.ts';
import { vulnerabilityText } from '../../orchestrator/releases/vulnerabilities.ts';
import { minuteOf } from '../option.ts';
import { listText, silenceText } from './text.ts';

/** Names that are shown of nodes of which nothing is known. */
const NAMED = 10;

/** The nodes that have it, then what is known and what is not. */
export function exposedText(seen: Overview, exposure: Exposure, now: number): string {
  const { nodes, silent, unreadable } = seen;
  const list =
    nodes.length === 0
      ? [...silent.map((one) => silenceText(one, now)), ...unreadable]
      : [listText(seen, now)];
  return [...list, ...exposureText(exposure)].join('\n');
}

function exposureText({ cve, asOf, affected, clear, unclear, unknown }: Exposure): string[] {
  const images = Object.entries(affected);
  const more = unknown.length > NAMED ? ` and ${unknown.length - NAMED} more` : '';
  return [
    `${cve}, as Debian knew it when it was imported (${minuteOf(asOf)} UTC)`,
    ...images.map(([version, found]) => `image ${version} has it: ${vulnerabilityText(found)}`),
    ...(images.length === 0 ? ['no image that is known has it'] : []),
    `without it: ${clear.length === 0 ? 'no published image' : clear.join(', ')}`,
    ...(unclear.length === 0
      ? []
      : [`NOT KNOWN of image ${unclear.join(', ')}: nothing was imported of some or all of its packages`]),
    ...(unknown.length === 0 ? [] : [`NOT KNOWN of node ${unknown.slice(0, NAMED).join(', ')}${more}`]),
  ];
}
