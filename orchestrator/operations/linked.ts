import { refusal } from '../../base/error.ts';
import type { Acting } from './operation.ts';

/** The links to nodes. @throws BootwaveError `NODE_NOT_LINKED`: this server has none */
export function linksOf({ links }: Pick<Acting, 'links'>): NonNullable<ReturnType<Acting['links']>> {
  const pool = links();
  if (pool !== undefined) return pool;
  throw refusal(
    'NODE_NOT_LINKED',
    'this server has no links to nodes',
    'ask a server that runs, in a moment',
  );
}
