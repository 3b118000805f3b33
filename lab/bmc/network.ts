/**
 * The operator's side of a lab's network: BMCs in a namespace of their own, which the server reaches and nodes do not. Nothing is
 * forwarded between the two, and no address of a BMC lies in the nodes' namespace.
 */
import { mustRun } from '../../base/run.ts';
import { endProcessesIn, inNamespaceArguments, removeNamespace } from '../namespace.ts';

/** `both`: each machine is reached by either. */
export const BMC_KINDS = ['none', 'ipmi', 'redfish', 'both'] as const;
export type BmcKind = (typeof BMC_KINDS)[number];

const INTERFACE = 'bmc0';
/** Of the server there. */
const SERVER = '10.78.0.1';
const PREFIX = 24;
const FIRST = 10;

export const bmcNamespace = (lab: string): string => `${lab}-bmc`;

/** @param index place of the node in its rack, 0 to 63 */
export const bmcAddress = (index: number): string => `10.78.0.${FIRST + index}`;

/** @param lab the namespace of the nodes */
export async function createBmcNetwork(lab: string, nodes: number): Promise<void> {
  const theirs = bmcNamespace(lab);
  await mustRun('ip', ['netns', 'add', theirs]);
  // A namespace may take over that its host forwards.
  const close = ['sh', '-c', 'echo 0 > /proc/sys/net/ipv4/ip_forward'] as const;
  await mustRun('ip', inNamespaceArguments(lab, close[0], close.slice(1)));
  await batch(lab, [
    `link add ${INTERFACE} type veth peer name ${INTERFACE} netns ${theirs}`,
    `addr add ${SERVER}/${PREFIX} dev ${INTERFACE}`,
    `link set ${INTERFACE} up`,
  ]);
  await batch(theirs, [
    'link set lo up',
    ...Array.from({ length: nodes }, (_, i) => `addr add ${bmcAddress(i)}/${PREFIX} dev ${INTERFACE}`),
    `link set ${INTERFACE} up`,
  ]);
}

async function batch(namespace: string, commands: readonly string[]): Promise<void> {
  await mustRun('ip', ['-n', namespace, '-batch', '-'], { input: `${commands.join('\n')}\n` });
}

/** Nothing to do is no error. */
export async function removeBmcNetwork(lab: string): Promise<void> {
  await endProcessesIn(bmcNamespace(lab), 3000);
  await removeNamespace(bmcNamespace(lab));
}
