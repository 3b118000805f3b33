import type { Redis } from 'ioredis';
import { BootwaveError, errorOf } from '../../base/error.ts';
import type { Envelope } from '../../protocol/envelope.ts';
import { decisionsOf } from '../fleet/decisions/decisions.ts';
import type { Signed } from '../operators/request.ts';
import { shownIn } from '../orders/sign.ts';

/** The orchestrator's view of the signer, where somebody runs a command in an instance. */
export type GrantSigner = {
  /**
   * A grant (protocol/grant.ts) for what a person has signed just now, if this machine's own disk permits it.
   * @param shown an envelope that another server's signer may have made for the node, JSON; believed if it bears the fleet's key
   * @throws BootwaveError `SIGNER_GRANT_*`, `OPERATOR_*`
   */
  grant(signed: Signed, shown?: string): Promise<Envelope>;
};

/** @param node that it is about: the signer knows no names, and so says its id; people read its name @throws BootwaveError as `GrantSigner.grant` */
export async function grantFor(
  redis: Redis,
  signer: GrantSigner,
  signed: Signed,
  { id, name }: { id: string; name: string },
): Promise<Envelope> {
  const isNo = (error: unknown): error is BootwaveError =>
    error instanceof BootwaveError && error.code.startsWith('SIGNER_GRANT_');
  const asked = async () => signer.grant(signed, await shownIn(redis, id));
  return asked().catch(async (error: unknown) => {
    if (!isNo(error)) throw error;
    // Another server may have decided it a moment ago, or have signed the order.
    await decisionsOf(redis)?.look();
    return asked().catch((again: unknown) => {
      throw isNo(again) ? errorOf({ ...again.toJSON(), what: again.what.replaceAll(id, () => name) }) : again;
    });
  });
}
