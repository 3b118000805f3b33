/** What services wrote, as people read it. */
import { named } from '../../base/named.ts';
import type { Written } from '../../orchestrator/operations/log/gather.ts';
import { harmless } from '../context.ts';

export function writtenText({ lines, asked, silent, more }: Written): string {
  const shown = lines.map(({ at, node, service, text, byNode }) => {
    const time = new Date(at).toISOString().replace('T', ' ').replace('Z', '');
    return harmless(`${time} ${node} ${service}${byNode ? ' (node)' : ''}: ${text}`);
  });
  const heard = asked.length - silent.length;
  return [
    ...shown,
    ...(lines.length === 0 && heard > 0
      ? [`nothing was written there (${heard} of ${asked.length} nodes say so)`]
      : []),
    ...(asked.length === 0 ? ['it has no nodes'] : []),
    ...(more.length === 0
      ? []
      : [`older lines are left out of ${more.length} instances; --lines and --since show others`]),
    ...[...Map.groupBy(silent, ({ why }) => why)].map(([why, some]) =>
      harmless(`not heard: ${named(some.map(({ node }) => node))}: ${why}`),
    ),
  ].join('\n');
}
