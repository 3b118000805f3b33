/**
 * The life of a node (DESIGN): every state, and every step between two of them. Nothing changes a node's state in a
 * way that is not in this table.
 */
export const STATES = [
  'discovered',
  'pending',
  'rejected',
  'enrolled',
  'installing',
  'healthy',
  'degraded',
  'unreachable',
  'updating',
  'quarantined',
  'recovering',
  'retired',
] as const;
export type State = (typeof STATES)[number];

/** Approved and not fenced: may hold a certificate and send heartbeats. */
const MEMBERS: readonly State[] = [
  'enrolled',
  'installing',
  'healthy',
  'degraded',
  'unreachable',
  'updating',
];

/** What a member may become: any other member's state but these, or out of the fleet. */
const fromMember = (...never: readonly State[]): readonly State[] => [
  'pending',
  ...MEMBERS.filter((state) => !never.includes(state)),
  'quarantined',
  'retired',
];

const TRANSITIONS: Readonly<Record<State, readonly State[]>> = {
  /** Seen on the wire; nothing is proved, so there is no record yet. */
  discovered: ['pending'],
  /** Proved possession of its keys; a person or a policy decides. */
  pending: ['enrolled', 'rejected', 'retired'],
  /** Refused by a person, who may change the decision. */
  rejected: ['enrolled', 'retired'],
  /** A member that may have its certificate; not heard from since. */
  enrolled: fromMember('enrolled'),
  installing: fromMember('installing', 'updating'),
  healthy: fromMember('healthy'),
  degraded: fromMember('degraded'),
  unreachable: fromMember('unreachable', 'installing'),
  updating: fromMember('updating', 'installing'),
  /** Fenced: its certificate is banned. Only recovery or a person leads out. */
  quarantined: ['recovering', 'retired'],
  recovering: ['enrolled', 'quarantined', 'retired'],
  /** Left the fleet. It comes back only when it is expected again. */
  retired: ['pending'],
};

export function mayBecome(from: State, to: State): boolean {
  return TRANSITIONS[from].includes(to);
}

export function isMember(state: State): boolean {
  return MEMBERS.includes(state);
}

/** Counted as registered: every node that belongs to the fleet, fenced or not. */
export function isRegistered(state: State): boolean {
  return isMember(state) || state === 'quarantined' || state === 'recovering';
}

/** States in which a missing heartbeat means unreachable; while installing or updating a node may well be silent. */
export const WATCHED: readonly State[] = ['enrolled', 'healthy', 'degraded'];

/** States in which a node runs what it was ordered to, or soon will: those that are brought something new. */
export const UP: readonly State[] = ['healthy', 'degraded', 'updating'];
