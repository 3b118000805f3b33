import { BootwaveError } from '../../../base/error.ts';
import { pinOf } from '../../fleet/events/pin.ts';
import type { NodeView } from '../../fleet/overview.ts';
import type { NodeRecord } from '../../fleet/record.ts';
import { leavesPin } from '../../rollout/place.ts';
import type { Acting } from '../operation.ts';
import { imageFlaws } from './image-flaws.ts';
import { leaveOut } from './leave-out.ts';

/** @throws BootwaveError `NODE_PIN_IMAGE` for an image that no node there may be moved to, and what `Fleet.pin` throws */
export async function pin(
  { node, image, reason, until }: { node: string; image: string; reason: string; until?: number | undefined },
  acting: Acting,
): Promise<{ record: NodeRecord; busy: string[] }> {
  const { fleet, by } = acting;
  const { name, site } = await fleet.nodes.resolve(node);
  const flaw = (await imageFlaws(acting))(image, site);
  if (flaw !== null)
    throw new BootwaveError({
      code: 'NODE_PIN_IMAGE',
      what: `node ${name} cannot be pinned to ${image}: ${flaw}`,
      unchanged: 'the node',
      next: "'bootwave image list' and 'bootwave rollout floor' show which images nodes may run",
    });
  const record = await fleet.pin(node, image, reason, until ?? null, by);
  const pinned = pinOf(record, by.at);
  const why = pinned?.why ?? reason;
  return { record, busy: await leaveOut(acting, record, why, (target) => leavesPin(target, pinned)) };
}

export const unpin = ({ node }: { node: string }, { fleet, by }: Acting): Promise<NodeRecord> =>
  fleet.unpin(node, by);

/** With `pinFlaw` where the image of a pin may not be run any more: a pin does not end by that, and a person should know. */
export async function withPinFlaws(nodes: readonly NodeView[], acting: Acting): Promise<NodeView[]> {
  const { at } = acting.by;
  if (nodes.every((node) => pinOf(node, at) === null)) return [...nodes];
  const flawOf = await imageFlaws(acting);
  return nodes.map((node) => {
    const pinned = pinOf(node, at);
    const flaw = pinned === null ? null : flawOf(pinned.image, node.site);
    return flaw === null ? node : { ...node, pinFlaw: flaw };
  });
}
