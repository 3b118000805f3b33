import type { ExecutionContext } from 'ava';
import { mustRun } from '../../../base/run.ts';
import { type Packet6, parsePacket6, serialisePacket6 } from '../../../formats/dhcp6/packet.ts';
import type { ClientOrder } from '../sockets-client.ts';
import { Inside } from '../sockets-netns.ts';

/** Where clients look for servers, on eth0. */
export const GROUP = 'ff02::1:2%eth0';

/** Its card is 52:54:00:00:00:01, and its link-local address is its own at once. */
export async function card6(namespace: string): Promise<void> {
  const ip = (...args: string[]) => mustRun('ip', ['-n', namespace, ...args]);
  await ip('link', 'set', 'eth0', 'down');
  await ip('link', 'set', 'eth0', 'address', '52:54:00:00:00:01');
  const dad = '/proc/sys/net/ipv6/conf/eth0/accept_dad';
  await mustRun('ip', ['netns', 'exec', namespace, 'sh', '-c', `echo 0 > ${dad}`]);
  await ip('link', 'set', 'eth0', 'up');
}

/** A machine that asks from its link-local address. */
export class Machine6 {
  readonly #client: Inside;
  constructor(t: ExecutionContext, namespace: string) {
    this.#client = new Inside(t, namespace, './sockets-client.ts', []);
  }
  async order(order: ClientOrder): Promise<Record<string, unknown>> {
    this.#client.say(order);
    return (await this.#client.next()) as Record<string, unknown>;
  }
  async ask(packet: Packet6 | Uint8Array, from = 546, to = GROUP): Promise<Packet6> {
    const bytes = packet instanceof Uint8Array ? packet : serialisePacket6(packet);
    const came = await this.order({ send: Buffer.from(bytes).toString('hex'), to, port: 547, from });
    if (came.answer === undefined) throw new Error(`no answer, but ${JSON.stringify(came)}`);
    return parsePacket6(Buffer.from(String(came.answer), 'hex'));
  }
  async shout(packet: Packet6 | Uint8Array): Promise<void> {
    const bytes = packet instanceof Uint8Array ? packet : serialisePacket6(packet);
    await this.order({
      ...{ send: Buffer.from(bytes).toString('hex'), to: GROUP },
      ...{ port: 547, from: 546, silent: true },
    });
  }
}
