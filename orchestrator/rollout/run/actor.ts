import type { Redis } from 'ioredis';
import type { Logger } from '../../../base/log.ts';
import type { Fleet } from '../../fleet/fleet.ts';
import type { OrderSigner } from '../../orders/order-signer.ts';
import type { LinkPool } from '../../transport/pool.ts';
import type { NodeCommand } from '../event.ts';

export type Actor = {
  redis: Redis;
  fleet: Fleet;
  pool: Pick<LinkPool, 'request'>;
  signer: OrderSigner;
  log: Logger;
  signal: AbortSignal;
  /** Called when a command begins to be carried out: until then it waited for its turn here. */
  begun(command: NodeCommand): Promise<void>;
};
