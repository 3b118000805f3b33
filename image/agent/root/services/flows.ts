/**
 * What an instance sends, recorded by the node's kernel: text for nft(8). The sets are bounded, and named after the instance;
 * they stay when it has ended, until each element is as old as `FLOW_LIFE`. Pure.
 */
import { FLOW_LIFE, FLOW_SET_SIZE, FLOW_TABLE, WAYS } from '../../../../protocol/agent/flows.ts';
import type { Place } from './place.ts';

const { sent, answered, wide } = WAYS;

/**
 * Runs after the node's own rules (filter.nft): what they dropped was not sent. Who answers is known by its own port, as
 * the other end's is another one each time. What finds no place in a set, and what has no ports, is counted by the first
 * byte of its destination, for which there is always a place: nothing that leaves is not counted.
 * @param id as `instanceId` makes it
 */
export function flowEntries(id: string, { interface: name }: Place): { add: string; remove: string } {
  const set = (way: string, type: string, size: number) =>
    `add set inet ${FLOW_TABLE} ${id}${way} { type ${type}; size ${size}; flags dynamic,timeout; timeout ${FLOW_LIFE}s; }`;
  const exact = (direction: string, way: string, port: string) =>
    `add rule inet ${FLOW_TABLE} ${id} meta l4proto { tcp, udp } ct direction ${direction} update @${id}${way} { ip daddr . meta l4proto . th ${port} counter } return`;
  const key = 'ipv4_addr . inet_proto . inet_service';
  return {
    add: [
      set(sent, key, FLOW_SET_SIZE),
      set(answered, key, FLOW_SET_SIZE),
      set(wide, 'ipv4_addr', 256),
      `add chain inet ${FLOW_TABLE} ${id}`,
      `flush chain inet ${FLOW_TABLE} ${id}`,
      exact('original', sent, 'dport'),
      exact('reply', answered, 'sport'),
      `add rule inet ${FLOW_TABLE} ${id} update @${id}${wide} { ip daddr & 255.0.0.0 counter }`,
      `add element inet ${FLOW_TABLE} instances { "${name}" : jump ${id} }`,
      '',
    ].join('\n'),
    remove: `delete element inet ${FLOW_TABLE} instances { "${name}" }\n`,
  };
}
