import { BootwaveError } from '../../base/error.ts';
import type { AuditEntry } from './audit/entry.ts';
import type { NodeRecord } from './record.ts';
import { mayBecome, type State } from './transitions.ts';

/** What an event does to a record. */
export type Outcome =
  | { kind: 'changed'; record: NodeRecord; audit: readonly AuditEntry[] }
  /** The record already has this content. */
  | { kind: 'same' }
  | Refusal;

/** Nothing was changed. `code` is stable, e.g. `ENROL_AK_CHANGED`. */
export type Refusal = { kind: 'refused'; code: string; what: string; next?: string };

export function refuse(code: string, what: string, next?: string): Refusal {
  return next === undefined ? { kind: 'refused', code, what } : { kind: 'refused', code, what, next };
}

/** Rounds of read, decide, compare-and-set before giving up. Each lost round means that another writer succeeded. */
export const ROUNDS = 50;

export function contended(what: string, rounds: number): BootwaveError {
  return new BootwaveError({
    code: 'FLEET_CONTENDED',
    what: `${what} was changed by others ${rounds} times in a row`,
    unchanged: 'this change was not made',
    next: 'try again',
  });
}

/** One step of a record's life, for `take`. */
export type Step = {
  to: State;
  at: number;
  actor: string;
  action: string;
  reason: string;
  detail?: Record<string, string>;
  /** Facts that change with it. */
  set?: Partial<Omit<NodeRecord, 'id' | 'state' | 'epoch' | 'createdAt' | 'changedAt' | 'reason'>>;
};

/**
 * Takes a record through steps: the only code that sets a state or an epoch. Every step raises the epoch by one and
 * leaves one audit entry. A step to the same state changes only facts and keeps the reason of the state.
 */
export function take(record: NodeRecord, ...steps: readonly Step[]): Outcome {
  const audit: AuditEntry[] = [];
  let now = record;
  for (const step of steps) {
    const from = now.state;
    if (from !== step.to && !mayBecome(from, step.to)) {
      return refuse(
        'TRANSITION_ILLEGAL',
        `node ${record.name} is ${from} and cannot become ${step.to}`,
        `'bootwave node show ${record.name}' says how it came here`,
      );
    }
    now = {
      ...now,
      ...step.set,
      state: step.to,
      epoch: now.epoch + 1,
      reason: from === step.to ? now.reason : step.reason,
      changedAt: step.at,
    };
    audit.push({
      at: step.at,
      actor: step.actor,
      node: record.id,
      action: step.action,
      from,
      to: step.to,
      reason: step.reason,
      ...(step.detail === undefined ? {} : { detail: step.detail }),
    });
  }
  return { kind: 'changed', record: now, audit };
}
