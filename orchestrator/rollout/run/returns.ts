/** Nodes that come back from a restart: the fleet knows at once, because a node enrols at every boot. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { KEYS } from '../../fleet/keys.ts';

type Item = [key: string, fields: string[]];

/** Milliseconds that one blocking read takes at the most. */
const BLOCK = 1_000;
/** Milliseconds after a failure until the next try. */
const RETRY = 250;

/**
 * A machine enrols before its sshd accepts connections, and an attempt that is too early waits out a backoff. The
 * heartbeat that changes something (no other is recorded) comes when it is a member with everything running.
 */
const RETURNS: readonly string[] = ['enrol', 'heartbeat'];
const WRITTEN = RETURNS.map((action) => `"action":"${action}"`);

/**
 * Calls `returned` with the ids of nodes that enrol, or are members again, from now on, until the signal aborts. It
 * only saves waiting: a node that is missed here (Redis was unreachable) is found by the next regular question.
 * @param blocking a connection of its own
 */
export async function followReturns(
  blocking: Redis,
  signal: AbortSignal,
  returned: (nodes: string[]) => void,
): Promise<void> {
  let after = '$';
  while (!signal.aborted) {
    try {
      // `$` would be a new place at each read, and what comes between two reads would be lost.
      if (after === '$') after = (await blocking.xrevrange(KEYS.audit, '+', '-', 'COUNT', 1))[0]?.[0] ?? '0';
      const reply = (await blocking.xread('COUNT', 1_000, 'BLOCK', BLOCK, 'STREAMS', KEYS.audit, after)) as
        | [string, Item[]][]
        | null;
      const nodes = new Set<string>();
      for (const [key, fields] of reply?.[0]?.[1] ?? []) {
        after = key;
        const entry = fields[fields.indexOf('entry') + 1] ?? '';
        // A rollout writes many entries of its own; parsing each only to throw it away would cost more than all else.
        if (!WRITTEN.some((text) => entry.includes(text))) continue;
        const { action, node } = JSON.parse(entry) as { action?: string; node?: string };
        if (RETURNS.includes(action ?? '') && node !== undefined) nodes.add(node);
      }
      if (nodes.size > 0) returned([...nodes]);
    } catch {
      await sleep(RETRY, undefined, { signal }).catch(() => {});
    }
  }
}
