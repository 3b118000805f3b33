/** One answer of what many nodes have in their journals. A node speaks for itself: it takes no place from what others say. */
import { BootwaveError, messageOf, refusal } from '../../../base/error.ts';
import type { LogLine } from '../../../protocol/link/logs.ts';
import { shownName } from '../../../protocol/service/name.ts';
import type { NodeRecord } from '../../fleet/record.ts';
import { linksOf } from '../linked.ts';
import type { Acting } from '../operation.ts';

/** `service`: as people write it. */
export type WrittenLine = LogLine & { node: string; service: string };

export type Written = {
  /** The oldest first, by the clocks of the nodes. */
  lines: WrittenLine[];
  /** Names of nodes that were asked. */
  asked: string[];
  /** Those that did not answer, and why. */
  silent: { node: string; code: string; why: string }[];
  /** Instances of which older lines were left out. */
  more: { node: string; service: string }[];
};

/** Lines of one answer. */
const MOST = 10_000;
/** Nodes that are asked at the same time. */
const AT_ONCE = 32;
/** Milliseconds: for all of them, and for one. */
const PATIENCE = 45_000;
const SILENCE = 10_000;

type Node = Pick<NodeRecord, 'id' | 'name'>;

type Pool = ReturnType<typeof linksOf>;

/** Who reads now, by the links: many answers at once would fill the memory, and those links, over which nodes get their orders. */
const readers = new WeakMap<Pool, Set<string>>();

/**
 * @param instances names, with their slices
 * @throws BootwaveError `NODE_NOT_LINKED`, `LOGS_BUSY`
 */
export async function gather(
  nodes: readonly Node[],
  instances: readonly string[],
  asked: { since?: number | undefined; lines: number },
  acting: Pick<Acting, 'links' | 'signal' | 'by'>,
): Promise<Written> {
  const { actor } = acting.by;
  const pool = linksOf(acting);
  const reading = readers.get(pool) ?? new Set();
  readers.set(pool, reading);
  if (reading.has(actor))
    throw refusal('LOGS_BUSY', `${actor} reads logs already`, 'wait for that answer: one is read at a time');
  reading.add(actor);
  try {
    return await readAll(pool, nodes, instances, asked, acting);
  } finally {
    reading.delete(actor);
  }
}

async function readAll(
  pool: Pool,
  nodes: readonly Node[],
  instances: readonly string[],
  { since, lines }: { since?: number | undefined; lines: number },
  { signal, by }: Pick<Acting, 'signal' | 'by'>,
): Promise<Written> {
  const written: Written = { lines: [], asked: nodes.map(({ name }) => name), silent: [], more: [] };
  const most = Math.max(1, Math.min(lines, Math.floor(MOST / Math.max(1, nodes.length * instances.length))));
  const age = since === undefined ? null : Math.max(1, Math.ceil(by.at - since));
  const patience = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE)]);
  const ask = async ({ id, name: node }: Node): Promise<void> => {
    try {
      for (const name of instances) {
        const args = { name, age, lines: most };
        const { result } = await pool.request(id, 'logs', args, { signal: patience, timeout: SILENCE });
        const service = shownName(name);
        for (const line of result.lines.slice(-most)) written.lines.push({ ...line, node, service });
        if (result.more) written.more.push({ node, service });
      }
    } catch (error) {
      const { code, what } =
        error instanceof BootwaveError ? error : { code: 'UNEXPECTED', what: messageOf(error) };
      written.silent.push({ node, code, why: what });
    }
  };
  const waiting = [...nodes];
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await ask(next);
    }),
  );
  written.lines.sort((a, b) => a.at - b.at);
  return written;
}
