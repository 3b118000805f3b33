/** The nodes of a slice, as its owner names them. */
import { refusal } from '../../base/error.ts';
import type { Slice } from '../fleet/decisions/slices.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { NodeRecord } from '../fleet/record.ts';

/**
 * Its nodes, or the one of them that is named so: by its name, its id or the beginning of one. Of another node nobody learns here
 * whether it is there.
 * @throws BootwaveError `SLICE_NODE`
 */
export async function nodesOfSlice(
  { nodes }: Pick<Fleet, 'nodes'>,
  slice: Pick<Slice, 'name' | 'nodes'>,
  word?: string,
): Promise<NodeRecord[]> {
  const all = await nodes.getMany(slice.nodes);
  if (word === undefined) return all;
  const text = word.trim().toLowerCase();
  const named = all.filter(({ name, id }) => name === text || (text.length >= 4 && id.startsWith(text)));
  if (named.length === 1) return named;
  throw refusal(
    'SLICE_NODE',
    `slice '${slice.name}' has ${named.length === 0 ? 'no node' : 'several nodes'} '${word.slice(0, 128)}'`,
    `'bootwave slice show ${slice.name}' shows its nodes`,
  );
}
