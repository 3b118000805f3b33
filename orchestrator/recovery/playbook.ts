/**
 * The two roads as data, and the pure core: what becomes of an incident as time passes, and what is done for it now. No clock, no Redis, no node. Each
 * command is counted in the incident before it is given, so whoever is killed in between has used a try, and loses no step.
 */
import { type DiskRead, READ_TIME } from '../../protocol/enrolment/disk-evidence.ts';
import { type Incident, type IncidentStep, isOver } from '../fleet/decisions/incidents.ts';
import type { Policy } from '../fleet/site.ts';
import { isMember, type State, UP } from '../fleet/transitions.ts';
import { isMeant } from './breaker.ts';
import type { Told } from './incidents.ts';
import { grown } from './signalled.ts';
import { asksFor, isFromOutside } from './signals.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/**
 * `restart`: the node's own agent is asked. `cycle`: its BMC switches it off and on. `network`: the same, and that start is from the
 * network, with the image for new hardware.
 */
export const COMMANDS = ['restart', 'cycle', 'network'] as const;
export type Command = (typeof COMMANDS)[number];

/**
 * Of a broken node, the gentlest first. `wait`: milliseconds in which it has to become well. What comes after the last one is the
 * other road: it is fenced, wiped and installed anew, where its site lets the automation do that.
 */
export const LADDER: readonly { command: Command; tries: number; wait: number }[] = [
  { command: 'restart', tries: 1, wait: 15 * MINUTE },
  { command: 'cycle', tries: 2, wait: 20 * MINUTE },
  { command: 'network', tries: 1, wait: 20 * MINUTE },
];

export const LIMITS = {
  /** Milliseconds that a node must be well, in one boot, until its incident ends. */
  bake: 10 * MINUTE,
  /** Milliseconds before a command that failed is tried again, or the next one is. */
  again: MINUTE,
  /** Starts from the network that one incident causes. */
  starts: 4,
  /** Milliseconds that a start from the network may take until the node has come. */
  start: 20 * MINUTE,
  /** Milliseconds that each step may take. Without a BMC a person has to come to a fenced node. */
  steps: { open: 24 * HOUR, fenced: 7 * 24 * HOUR, wiping: 24 * HOUR, wiped: 2 * HOUR, returning: 6 * HOUR },
  /** Incidents of one node soon before (signalled.ts), and signals that come back within one, until a person is asked. */
  repeats: 2,
  returns: 2,
} as const;

/** Milliseconds that a node has for its step before it is started from the network again. */
const GRACE: Partial<Record<IncidentStep, number>> = { wiping: HOUR, wiped: LIMITS.start };

/** Bytes a second at which a slow disk is overwritten from one end to the other. */
const SLOW = 50e6;
/**
 * Milliseconds that the wipe of so many bytes may take, one disk after the other; a machine that says more is not believed.
 * @param read what it shows of them before; left out: nothing
 */
export const wipeTime = (bytes: number, read?: DiskRead): number =>
  Math.min((bytes / SLOW) * 1000, 14 * 24 * HOUR) + (read === undefined ? 0 : READ_TIME[read]);

/** What is known of the node now. */
export type Facts = {
  /** Milliseconds since the epoch. */
  now: number;
  state: State;
  /** Since when this server hears that it is well, without a pause and in one boot; null: it does not. */
  wellSince: number | null;
  /** It has all that it should: it is installed, if that is wanted. */
  isWhole: boolean;
  /** Why its hardware takes no new work (fleet/hardware/profile.ts): it was mended with less than it had; null: it does. */
  shortfall: string | null;
  /** A disk of it foretells that it fails. */
  failing: boolean;
  /** Why a person keeps it out; null: nobody does. */
  banned: string | null;
  recovery: Policy['recovery'];
  rescue: Policy['rescue'];
  hasBmc: boolean;
  /** It is to run from its own disk. */
  onDisk: boolean;
  /** Its TPM can show that it was wiped, and what it has booted. */
  hasTpm: boolean;
  /** Milliseconds that the wipe of its disks may take, if they are overwritten whole: a start in between begins it anew. */
  wipeTime: number;
  /** What has it now, so that it is left alone: a rollout; null: nothing. */
  busy: string | null;
  /** Why the automation stands still (the breaker); null: it does not. */
  stopped: string | null;
};

/**
 * `told` null: it stays as it is; one that leads a broken node to `fenced` is made by the fence (fence.ts). `command` is given
 * only after `told` is decided.
 */
export type Turn = { told: Told | null; command: Command | null };
export const STAY: Turn = { told: null, command: null };

export function turn(incident: Incident, facts: Facts): Turn {
  const { road, step } = incident;
  if (isOver(incident)) return STAY;
  if (facts.state === 'retired' || facts.state === 'rejected')
    return to(incident, 'ended', 'the node left the fleet');
  // Without its services it may well be healthy: a person looks at it, and says how it goes on.
  if (incident.rescue != null && road === 'broken') return STAY;
  // A broken node that a person has mended is seen to be well.
  if (step === 'person') return road === 'broken' && !asksFor(incident) ? broken(incident, facts) : STAY;
  if (incident.signal === 'cloned') return to(incident, 'person', CLONED);
  if (facts.banned !== null)
    return to(incident, 'person', `a person banned it, and people let it back: ${facts.banned}`);
  // One that is well and a member again is held for nothing but what its incident shows.
  const isBack = step === 'returning' && isBaked(incident, facts);
  if (!isBack && spent(incident, facts)) return to(incident, 'person', `${step} for too long`);
  return road === 'broken' ? broken(incident, facts) : compromised(incident, facts);
}

function broken(incident: Incident, facts: Facts): Turn {
  const { now, wellSince, isWhole, onDisk, busy, stopped } = facts;
  // No restart mends a disk, and a node is well until its disk has failed: a person changes it when the time is right.
  if (incident.signal === 'smart' && (facts.failing || incident.step !== 'person'))
    return incident.step === 'person' ? STAY : to(incident, 'person', 'a disk foretells that it fails');
  // What it was before says nothing: a node may be well, and still show no quote.
  const isWell = wellSince !== null && wellSince >= incident.openedAt;
  const isBaked = isWell && isWhole && now - wellSince >= LIMITS.bake;
  const isFromNetwork = onDisk && triesOf(incident, 'network') > 0;
  if (isBaked && !isFromNetwork)
    return ended(incident, facts, `well for ${LIMITS.bake / MINUTE} min${afterText(incident)}`);
  if (incident.step === 'person' || busy !== null || stopped !== null) return STAY;
  if (isBaked) return reinstall(incident, facts, 'it is well from the network, and not from its disk');
  if (isWell || !isDue(incident, now)) return STAY;
  const again = againWhy(incident);
  if (again !== null) return to(incident, 'person', again);
  const rung = LADDER.find(({ command, tries }) => may(command, facts) && triesOf(incident, command) < tries);
  if (rung !== undefined) return tried(incident, now, rung.command, rung.wait);
  return reinstall(incident, facts, `nothing that was tried has helped${afterText(incident)}`);
}

/** By the other road: what is on its disk, also what services keep there, is given up. */
function reinstall(incident: Incident, facts: Facts, why: string): Turn {
  const { recovery, rescue, state, hasBmc, hasTpm, onDisk, now: at } = facts;
  const isOutside = isFromOutside(incident);
  if (isOutside || recovery === 'person' || !hasBmc || !hasTpm || !onDisk) {
    // Services are not ended by the word of a program outside.
    if (isOutside || rescue !== 'ill' || !UP.includes(state)) return to(incident, 'person', why);
    return to({ ...incident, rescue: { by: 'recovery', reason: why, at } }, 'person', `in rescue: ${why}`);
  }
  const evidence = grown(incident.evidence, [`to be installed anew: ${why}`]);
  // Whoever asked for a repair did not ask for a wipe: that is the automation's own judgement, which the breaker may hold.
  const signal = isMeant(incident) ? 'unrepaired' : incident.signal;
  return {
    told: { ...incident, road: 'compromised', step: 'fenced', signal, reason: why, evidence },
    command: null,
  };
}

/**
 * A machine that is well, and has less than its model, is a person's matter: until it is mended, or its profile is another. One that came
 * back from a wipe is not held for that: it only takes no new work.
 */
function ended(incident: Incident, { shortfall }: Facts, reason: string): Turn {
  if (shortfall === null) return to(incident, 'ended', reason);
  const why = `${reason}; but ${shortfall}`.slice(0, 1000);
  if (incident.road === 'compromised') return to(incident, 'ended', why);
  return incident.step === 'person' && incident.reason === why ? STAY : to(incident, 'person', why);
}

function may(command: Command, { hasBmc, state }: Facts): boolean {
  return command === 'restart' ? isMember(state) : hasBmc;
}

const CLONED = 'nobody can tell from here which of the two machines is the real one';

/** Why a person is asked about trouble that comes again; null: it does not, or people want the incident, knowing of those before. */
const againWhy = ({ signal, tries }: Pick<Incident, 'signal' | 'tries'>): string | null =>
  isMeant({ signal }) || (tries.repeats ?? 0) < LIMITS.repeats
    ? null
    : `this happened ${LIMITS.repeats + 1} times within a day`;

/** Why no machine is wiped for this incident until a person has said so, whatever else is true; null: it may be. */
export function forPeopleWhy({ signal, tries }: Pick<Incident, 'signal' | 'tries'>): string | null {
  if (signal === 'cloned') return CLONED;
  const again = againWhy({ signal, tries });
  if (again !== null) return again;
  if ((tries.returns ?? 0) >= LIMITS.returns) return 'it came back from a wipe, and did the same again';
  return null;
}

function compromised(incident: Incident, facts: Facts): Turn {
  const { now, state, isWhole, recovery, hasTpm, hasBmc, stopped } = facts;
  const { step } = incident;
  if (step === 'returning') {
    if (!isBaked(incident, facts) || !(isWhole || spent(incident, facts))) return STAY;
    const reason = `wiped, attested, and well for ${LIMITS.bake / MINUTE} min`;
    return isWhole
      ? ended(incident, facts, reason)
      : to(incident, 'ended', `${reason}; but not installed, as it should be`);
  }
  if (step === 'wiped' && isMember(state))
    return to(incident, 'returning', 'it has new keys, and is a member again');
  if (!hasTpm) return to(incident, 'person', 'without a TPM it cannot show that it was wiped');
  const forPeople = forPeopleWhy(incident);
  if (forPeople !== null) return to(incident, 'person', forPeople);
  if (step !== 'wiped' && recovery === 'person')
    return to(incident, 'person', `site ${incident.site} has not said that the automation may wipe disks`);
  const wipe = step === 'wiping' ? facts.wipeTime : 0;
  if (stopped !== null || !isDue(incident, now, wipe)) return STAY;
  // A person presses the button; it goes on by itself when the node has started from the network.
  if (!hasBmc) return STAY;
  if (triesOf(incident, 'network') >= LIMITS.starts)
    return to(
      incident,
      'person',
      `it was started from the network ${LIMITS.starts} times, and did not come through`,
    );
  return tried(incident, now, 'network', step === 'wiping' ? HOUR + wipe : LIMITS.start);
}

/** Since when it stands at its step, milliseconds since the epoch. */
export const since = ({ tries, openedAt }: Pick<Incident, 'tries' | 'openedAt'>): number =>
  tries.since ?? openedAt;
const spent = (incident: Incident, { now, wipeTime }: Facts): boolean => {
  const { step } = incident;
  const more = step === 'wiping' ? wipeTime : 0;
  return step !== 'ended' && step !== 'person' && now - since(incident) > LIMITS.steps[step] + more;
};
const isBaked = (incident: Incident, { now, wellSince }: Facts): boolean =>
  wellSince !== null && now - Math.max(wellSince, since(incident)) >= LIMITS.bake;
const isDue = ({ step, ...incident }: Incident, now: number, more = 0): boolean =>
  now >= Math.max(incident.tries.until ?? 0, since(incident) + (GRACE[step] ?? 0) + more);
const triesOf = ({ tries }: Pick<Incident, 'tries'>, command: Command): number => tries[command] ?? 0;

const to = (incident: Incident, step: IncidentStep, reason: string): Turn => ({
  told: { ...incident, step, reason },
  command: null,
});

const tried = (incident: Incident, now: number, command: Command, wait: number): Turn => ({
  told: {
    ...incident,
    // Its console says it, too: what it is held for stays in it.
    reason: `${command}, try ${triesOf(incident, command) + 1}; ${incident.reason.replace(/^\w+, try \d+; /, '')}`,
    tries: { ...incident.tries, [command]: triesOf(incident, command) + 1, until: now + wait },
  },
  command,
});

/** A command did not work: why is evidence, and it is not waited for. */
export function failed(incident: Incident, command: Command, why: string, now: number): Told | null {
  if (incident.step === 'ended' || incident.step === 'person') return null;
  return {
    ...incident,
    evidence: grown(incident.evidence, [`${command} failed: ${why}`]),
    tries: { ...incident.tries, until: now + LIMITS.again },
  };
}

/** What was tried, for people. */
export const triedText = ({ tries }: Pick<Incident, 'tries'>): string =>
  COMMANDS.flatMap((command) => {
    const times = tries[command] ?? 0;
    return times === 0 ? [] : [times === 1 ? command : `${command} ${times} times`];
  }).join(', ');
const afterText = (incident: Incident): string => {
  const text = triedText(incident);
  return text === '' ? '' : `, after ${text}`;
};
