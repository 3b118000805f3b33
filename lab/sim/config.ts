/** Configurations on a simulated node: the agent's own code, with a root that only remembers what it was given. */
import { BootwaveError } from '../../base/error.ts';
import { NodeConfig } from '../../image/agent/member/config/node-config.ts';
import type { ConfigRecord } from '../../image/agent/member/config/record.ts';
import type { AskConfig, ConfigInForce, ConfigRequest } from '../../protocol/agent/config.ts';
import { digestOf, readDocument } from '../../protocol/configuration/document.ts';
import type { Order } from '../../protocol/order.ts';
import type { Fault } from './fault.ts';
import { Cut } from './ssh.ts';

export type SimConfigParts = {
  order(): { order: Order } | null;
  /** What is wrong with a version: `vanishes` while it is checked; `panic`: it cannot be applied. */
  fault(version: string): Fault | null;
  vanish(): void;
  /** Null: without a configuration. */
  applied(version: string | null): void;
};

export function simConfig({ order, fault, vanish, applied }: SimConfigParts): NodeConfig {
  let inForce: ConfigInForce | null = null;
  let record: ConfigRecord | null = null;
  const perform = async (request: ConfigRequest): Promise<object> => {
    if (request.operation === 'config-status') return { inForce, torn: false };
    const { document } = request;
    const bytes = document === null ? null : Buffer.from(document, 'base64');
    const version = bytes === null ? null : readDocument(bytes).version;
    const wrong = version === null ? null : fault(version);
    if (request.operation === 'config-check') {
      if (wrong !== 'vanishes') return {};
      vanish();
      throw new Cut('gone');
    }
    if (wrong === 'panic')
      throw new BootwaveError({ code: 'CONFIG_NOT_APPLIED', what: `${version} cannot be applied here` });
    inForce = bytes === null || document === null ? null : { digest: digestOf(bytes), document };
    applied(version);
    return { changed: 1 };
  };
  return new NodeConfig({
    order,
    ask: perform as AskConfig,
    records: {
      read: async () => record,
      write: async (next) => {
        record = next;
      },
    },
  });
}
