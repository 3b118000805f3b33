/**
 * A rollout waits until a trouble with another cause than its version is over, reports the likely cause, and continues
 * by itself.
 */
import { type Cause, describe, same } from '../causes/cause.ts';
import { isOurs } from '../causes/refusal.ts';
import { quietOf } from './blame.ts';
import type { Draft } from './draft.ts';
import { type NodeStep, UNDER_WAY } from './node-step.ts';

/** Call it for every trouble with another cause than the version, as long as it lasts. */
export function hold(d: Draft, cause: Cause, why = describe(cause)) {
  const known = d.holding.find((one) => same(one.cause, cause));
  if (known === undefined) d.holding.push({ cause, why });
  const { rollout } = d;
  if (rollout.held === null && rollout.state === 'running') {
    d.setState('paused', `${why}; it goes on by itself`, 'engine');
    rollout.before = 'running';
    rollout.held = { cause, why, since: d.clock };
  }
}

/** Causes that silence many nodes: when they are over, everybody has to be heard again. */
const SILENCES: readonly Cause['kind'][] = ['own-uplink', 'site', 'rack'];

export function isSilence(d: Draft): boolean {
  return d.rollout.held !== null && SILENCES.includes(d.rollout.held.cause.kind);
}

/** At the end of every look at the clock: causes that are over hold nothing up any more. */
export function release(d: Draft) {
  const { rollout } = d;
  const { held } = rollout;
  if (held === null || rollout.state !== 'paused') return;
  const [next] = d.holding;
  if (next !== undefined) {
    if (d.holding.some(({ cause }) => same(cause, held.cause))) return;
    rollout.held = { ...next, since: d.clock };
    rollout.why = `${next.why}; it goes on by itself`;
    return;
  }
  rollout.held = null;
  if (held.cause.kind === 'surroundings') recoverAnew(d);
  if (held.cause.kind === 'own-clock' || held.cause.kind === 'orders') askAnew(d);
  listenAnew(d);
  d.setState('running', `over: ${held.why}`, 'engine');
}

/** Silence from before means nothing, and time that a node could not use does not count against it. */
export function listenAnew(d: Draft) {
  const { silent } = d.setup.spec.timeouts;
  for (const id of d.active()) {
    const node = d.peek(id)!;
    if (node.state === 'baking' || quietOf(d, node) <= silent) continue;
    d.edit(id).since = d.clock;
  }
  d.rollout.listening = d.watched;
}

/** A node that still refuses does so for its own reason, from now on. */
function askAnew(d: Draft) {
  for (const id of d.active()) {
    const { blocked } = d.peek(id)!;
    if (blocked !== null) d.edit(id).blocked = { ...blocked, since: d.clock };
  }
}

/** A node that is still unhealthy is so for its own reason, from now on. */
function recoverAnew(d: Draft) {
  for (const id of [...d.active(), ...d.troubled()]) {
    const node = d.peek(id);
    if (node === undefined || node.sick === null) continue;
    const ill = d.edit(id);
    ill.sick = d.clock;
    ill.flaps = 0;
  }
}

/** A person continues without the silent nodes: they are no failures, and nothing waits for them. */
export function leaveBehind(d: Draft, by: string) {
  const { silent } = d.setup.spec.timeouts;
  const { held } = d.rollout;
  for (const known of [...d.everybody()]) {
    if (known.heard === null || quietOf(d, known) <= silent) continue;
    if (known.state === 'done') d.edit(known.node).lost ??= d.clock;
    else if (UNDER_WAY.includes(known.state)) {
      leave(
        d,
        d.edit(known.node),
        held?.cause ?? { kind: 'gone-alone' },
        `by ${by}: ${held?.why ?? 'silent'}`,
      );
    }
  }
}

/** It cannot be heard for a cause that is not the version's, and nothing waits for it. */
export function leave(d: Draft, node: NodeStep, cause: Cause, why: string) {
  d.excuse(node, cause);
  d.move(node, 'needs-recovery', `left behind ${why}`);
  d.freeSlot(node);
}

/** What the orders that are refused for something else than the version mean together. */
export function weighRefusals(d: Draft) {
  const blocked = d.active().flatMap((id) => {
    const node = d.peek(id)!;
    return node.blocked === null ? [] : [{ node, ...node.blocked }];
  });
  const rules = blocked.find(({ by }) => by === 'rules');
  if (rules !== undefined) hold(d, { kind: 'rules' }, rules.why);
  if (isRefusedByMany(d, 'clock')) hold(d, { kind: 'own-clock' });
  const cause = { kind: 'orders' } as const;
  if (isRefusedByMany(d, 'order'))
    hold(d, cause, `${describe(cause)}: ${blocked.find(({ by }) => by === 'order')!.why}`);
}

export function isRefusedByMany(d: Draft, by: 'clock' | 'order'): boolean {
  const nodes = d.active().map((id) => d.peek(id)!);
  const refuse = nodes.filter(({ blocked }) => blocked?.by === by).length;
  return refuse > 0 && isOurs(refuse, nodes.filter(accepts).length);
}

const accepts = (node: Readonly<NodeStep>) => node.blocked === null && node.told && node.sent !== null;
