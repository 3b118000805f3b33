/** How a node is by its own report, and what becomes of it while it is watched. */
import { shownName } from '../../protocol/service/name.ts';
import { unstaged } from './blame.ts';
import { wantedOf } from './command.ts';
import type { Draft } from './draft.ts';
import type { Report } from './event.ts';
import type { NodeStep, StepState } from './node-step.ts';
import type { Target } from './place.ts';
import { coming, givenUp, restartsIn, shownVersion, trouble, wishesIn } from './services.ts';
import { fail, gatesOf } from './step.ts';
import { ill } from './time.ts';

/** States in which a node is as it was. */
const BEFORE: readonly StepState[] = ['pending', 'staging', 'staged'];

const brings = ({ of, version }: Target, name: string): boolean =>
  of === 'service' && wishesIn(version).some((wish) => shownName(wish.name) === name);

/** @returns why it is not well; null: it is */
export function healthOf(d: Draft, node: NodeStep, report: Report): string | null {
  if (!report.healthy) return report.reason === '' ? 'agent unhealthy' : report.reason;
  const { of, version } = d.setup.target;
  const own = of === 'service' ? trouble(version, report.instances) : null;
  if (own !== null) return own;
  for (const gate of gatesOf(d, node.wave)) {
    if (gate.kind !== 'service') continue;
    const { services } = report;
    if (services === null) return 'it says nothing of its services';
    const names = gate.names ?? Object.keys(services);
    // A service that is not reported is not there; before its turn, it may be what the rollout brings.
    const isToCome = (name: string) =>
      services[name] === undefined && BEFORE.includes(node.state) && brings(d.setup.target, name);
    const bad = names.find((name) => services[name] !== true && !isToCome(name));
    if (bad !== undefined) return `service ${bad} unhealthy`;
  }
  return null;
}

/** Health while it is watched: short troubles restart the bake, long or many ones are a failure. */
export function watch(d: Draft, node: NodeStep, report: Report, restarted: boolean) {
  const trouble = healthOf(d, node, report);
  const { of, version } = d.setup.target;
  const begun = of === 'service' ? restartsIn(version, report.instances) : 0;
  const again = restarted || begun > (node.begun ?? begun);
  if (of === 'service') node.begun = begun;
  if (again) {
    node.flaps += 1;
    // What it showed between two of its ends proves little.
    if (node.state === 'baking') node.since = d.clock;
  }
  if (trouble !== null && node.sick === null) {
    node.sick = d.clock;
    if (!again) node.flaps += 1;
  }
  if (trouble === null && node.sick !== null) {
    node.sick = null;
    if (node.state === 'baking') node.since = d.clock;
  }
  const lost = of === 'service' ? givenUp(version, report.instances) : null;
  if (lost !== null) {
    ill(d, node, lost.why);
  } else if (node.flaps > d.setup.spec.flaps) {
    ill(d, node, `unstable on ${shownVersion(wantedOf(node))}: ${trouble ?? 'restarts by itself'}`);
  } else if (node.sick !== null && d.clock - node.sick > d.setup.spec.timeouts.unhealthy) {
    ill(d, node, `unhealthy on ${shownVersion(wantedOf(node))}: ${trouble}`);
  }
}

/** Whether all services that its order brings have shown how they are; who has given one up has failed. */
export function isUp(d: Draft, node: NodeStep, { instances }: Report): boolean {
  const { version } = d.setup.target;
  const lost = givenUp(version, instances);
  if (lost !== null) {
    fail(d, node, lost.why, lost.blame === 'hardware' ? unstaged(d, node, lost.blame) : undefined);
    return false;
  }
  const comes = coming(version, instances);
  if (comes === null) return true;
  node.why = comes.why;
  node.blame = comes.blame;
  return false;
}
