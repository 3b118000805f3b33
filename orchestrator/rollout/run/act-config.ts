/** Carrying out a command about a configuration: delivered with the order, applied without a restart. */
import { BootwaveError } from '../../../base/error.ts';
import { readConfig } from '../../config/store.ts';
import type { LinkPool } from '../../transport/pool.ts';
import type { NodeCommand, NodeEvent } from '../event.ts';
import type { Actor } from './actor.ts';

/** Milliseconds of silence: three daemons may have to restart, and once more on the way back. */
const SILENCE = 180_000;

type Options = Parameters<LinkPool['request']>[3];

/**
 * Call it when the order is delivered: the node compares the document with the digest in it.
 * @returns that it is staged; or that it was reached: the node's next report shows the result, and nobody has to wait
 * for it
 */
export async function actConfig(actor: Actor, command: NodeCommand, options: Options): Promise<NodeEvent[]> {
  const { node, epoch, version, kind } = command;
  const apply = kind !== 'stage';
  await actor.pool.request(
    node,
    'config',
    { epoch, document: await documentOf(actor, version), apply },
    { ...options, timeout: SILENCE },
  );
  return [apply ? { type: 'reachable', node } : { type: 'staged', node, epoch }];
}

/** Base64. @throws BootwaveError `LINK_ABORTED`: nothing can be sent until the records are restored */
async function documentOf({ redis, log }: Actor, version: string | null): Promise<string | null> {
  if (version === null) return null;
  try {
    return Buffer.from((await readConfig(redis, version)).document, 'utf8').toString('base64');
  } catch (cause) {
    if (!(cause instanceof BootwaveError)) throw cause;
    log.error({ version, code: cause.code }, 'a configuration that is to be delivered cannot be read');
    throw new BootwaveError({ code: 'LINK_ABORTED', what: cause.what, cause });
  }
}
