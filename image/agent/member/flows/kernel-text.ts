/** What the kernel has recorded of what instances send, as nft(8) prints it (libnftables-json(5)). Pure. */
import { jsonIn } from '../../../../base/json.ts';
import { FLOW_LIFE, WAYS, type Way } from '../../../../protocol/agent/flows.ts';
import { nameOfInstance } from '../../../../protocol/agent/units.ts';
import type { Flow } from '../../../../protocol/link/flows.ts';
import { instanceNameSchema } from '../../../../protocol/service/name.ts';

/** As `nft --numeric` says them (IANA, Protocol Numbers). */
const PROTOCOLS: ReadonlyMap<unknown, 'tcp' | 'udp'> = new Map([
  [6, 'tcp'],
  [17, 'udp'],
]);

/** What was sent to one destination since the kernel began this count. */
export type Counted = Omit<Flow, 'of' | 'from' | 'until'> & {
  /** Name of the service. */
  name: string;
  /** Seconds since the last packet. */
  idle: number;
};

/** Anything else than sets of flows is not looked at. @returns null: this is no answer of nft */
export function countedFlows(text: string): Counted[] | null {
  const all = field(jsonIn(text), 'nftables');
  if (!Array.isArray(all)) return null;
  return all.flatMap((one) => setFlows(field(one, 'set')));
}

function setFlows(set: unknown): Counted[] {
  const [title, elements] = [field(set, 'name'), field(set, 'elem')];
  if (typeof title !== 'string' || !Array.isArray(elements)) return [];
  const [id = '', rest] = title.split('/');
  const way = (Object.keys(WAYS) as Way[]).find(
    (one) => WAYS[one] === (rest === undefined ? '' : `/${rest}`),
  );
  const { data: name } = instanceNameSchema.safeParse(nameOfInstance(id));
  if (way === undefined || name === undefined) return [];
  return elements.flatMap((element) => flowOf(name, way, field(element, 'elem')) ?? []);
}

function flowOf(name: string, way: Way, element: unknown): Counted | null {
  const [value, counter, left] = ['val', 'counter', 'expires'].map((key) => field(element, key));
  const [packets, bytes] = [whole(field(counter, 'packets')), whole(field(counter, 'bytes'))];
  const expires = whole(left);
  if (packets === null || bytes === null || expires === null) return null;
  const counts = { packets, bytes, idle: Math.max(0, FLOW_LIFE - expires) };
  if (way === 'wide')
    return typeof value === 'string' ? { name, way, to: value, protocol: null, port: null, ...counts } : null;
  const key = field(value, 'concat');
  const [to, number, port] = Array.isArray(key) ? key : [];
  const protocol = PROTOCOLS.get(number);
  if (typeof to !== 'string' || protocol === undefined || whole(port) === null) return null;
  return { name, way, to, protocol, port, ...counts };
}

const field = (value: unknown, key: string): unknown =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? (value as Record<string, unknown>)[key]
    : undefined;

const whole = (value: unknown): number | null =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;
