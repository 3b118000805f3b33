/**
 * What tells that a node is broken or compromised: one table. Each signal rests on what a server has seen with its own eyes
 * (fleet/sight.ts), never on what stands in Redis: whoever owns that could else have half of the fleet fenced or switched off.
 */
import type { Incident } from '../fleet/decisions/incidents.ts';
import type { SignalRule } from '../fleet/site.ts';
import type { SEVERITIES } from './rules.ts';

type Minutes = number;

export type Signal = {
  /** What it means, for people. */
  what: string;
  road: Incident['road'];
  severity: (typeof SEVERITIES)[number];
  /** A person is asked, and nothing else follows from it. */
  asks?: boolean;
  /** Hysteresis: how often within how long, or how long without a pause, until it counts. */
  after: { times: number; within: Minutes } | { minutes: Minutes };
};

/** Which of them a site leaves out, or counts later, is its policy (`bootwave site set --signal`). */
export const SIGNALS = {
  measurement: {
    what: 'its TPM has signed that it booted something that the fleet does not know',
    road: 'compromised',
    severity: 'critical',
    after: { times: 1, within: 60 },
  },
  'attestation-key': {
    what: 'whoever shows its certificate proves with the TPM of another machine',
    road: 'compromised',
    severity: 'critical',
    after: { times: 1, within: 60 },
  },
  'bad-quote': {
    what: 'what it shows as a quote, over its own certificate, is none',
    road: 'compromised',
    severity: 'serious',
    after: { times: 3, within: 120 },
  },
  'banned-certificate': {
    what: 'a certificate of it is in use that was banned',
    road: 'compromised',
    severity: 'serious',
    after: { times: 3, within: 30 },
  },
  cloned: {
    what: 'there are two machines with its TPM',
    road: 'compromised',
    severity: 'critical',
    after: { times: 1, within: 60 },
  },
  'no-quote': {
    what: 'it is heard, and has not attested for long',
    road: 'broken',
    severity: 'serious',
    after: { minutes: 120 },
  },
  silent: { what: 'it is not heard', road: 'broken', severity: 'serious', after: { minutes: 15 } },
  ill: {
    what: 'it says itself that it is not healthy',
    road: 'broken',
    severity: 'minor',
    after: { minutes: 30 },
  },
  memory: {
    what: 'its memory has errors that were not corrected',
    road: 'broken',
    severity: 'serious',
    after: { times: 2, within: 1440 },
  },
  disk: {
    what: 'its disks, or what is on them, have errors',
    road: 'broken',
    severity: 'serious',
    after: { times: 3, within: 60 },
  },
  smart: {
    what: 'a disk of it foretells that it fails',
    road: 'broken',
    severity: 'minor',
    after: { minutes: 90 },
  },
  clock: {
    what: 'its clock is off by more than two minutes',
    road: 'broken',
    severity: 'minor',
    after: { minutes: 30 },
  },
  'boot-loop': {
    what: 'it starts again and again, and does not become healthy',
    road: 'broken',
    severity: 'serious',
    after: { times: 4, within: 60 },
  },
  reported: {
    what: 'a system outside says that it is broken',
    road: 'broken',
    severity: 'serious',
    after: { times: 2, within: 60 },
  },
  suspected: {
    what: 'a system outside says that a person should look at it',
    road: 'broken',
    severity: 'serious',
    asks: true,
    after: { times: 1, within: 60 },
  },
} as const satisfies Record<string, Signal>;

/** Whether it rests on nothing but what systems outside have said: that alone is never a reason for a wipe. */
export const isFromOutside = ({ signal }: Pick<Incident, 'signal'>): boolean =>
  signal === 'reported' || signal === 'suspected';

/** Whether a server has seen it itself: neither people nor systems outside have said it. */
export const isSeen = ({ signal }: Pick<Incident, 'signal'>): boolean =>
  Object.hasOwn(SIGNALS, signal) && !isFromOutside({ signal });

/** Whether a person has to look at it, however well the node is. */
export const asksFor = ({
  road,
  signal,
  suspected,
}: Pick<Incident, 'road' | 'signal' | 'suspected'>): boolean =>
  road === 'broken' && (suspected === true || signal === 'suspected');

export type SignalCode = keyof typeof SIGNALS;
export const SIGNAL_CODES = Object.keys(SIGNALS) as SignalCode[];

/** Codes of refusals that are a signal when a proven node gets them. */
const BY_REFUSAL: Readonly<Record<string, SignalCode>> = {
  ENROL_MEASUREMENT: 'measurement',
  ENROL_AK_CHANGED: 'attestation-key',
  ENROL_CLONED: 'cloned',
  CERTIFICATE_BANNED: 'banned-certificate',
};

/** @returns null: it is no signal */
export function signalOf(refusal: string): SignalCode | null {
  if (/^(QUOTE|EVENT_LOG)_/.test(refusal)) return 'bad-quote';
  return BY_REFUSAL[refusal] ?? null;
}

/** @returns null: the site leaves it out */
export function ruleOf(code: SignalCode, own: Readonly<Record<string, SignalRule>>): Signal | null {
  const usual: Signal = SIGNALS[code];
  const rule = own[code];
  if (rule === undefined) return usual;
  if (rule === 'off') return null;
  const after =
    'times' in usual.after
      ? { times: rule.times ?? usual.after.times, within: rule.minutes }
      : { minutes: rule.minutes };
  return { ...usual, after };
}
