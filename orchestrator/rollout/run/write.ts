import type { Redis } from 'ioredis';
import { auditLine } from '../../fleet/audit/audit.ts';
import type { AuditEntry } from '../../fleet/audit/entry.ts';
import type { Op, RecordChange } from '../../fleet/commit.ts';
import { type Issued, readIssued } from '../../orders/issued.ts';
import type { ImageFacts } from '../../releases/published.ts';
import { HOLDERS } from '../../upkeep/holders.ts';
import type { RolloutState } from '../engine.ts';
import type { Command, EngineEvent, NodeCommand, Note, Step } from '../event.ts';
import { FREE, type StepState } from '../node-step.ts';
import { ENDED, type RolloutRecord, type RolloutStatus } from '../record.ts';
import { decidedBy } from './decided.ts';
import { commitFenced } from './fence.ts';
import { readPardons } from './forgive.ts';
import { issue } from './issue.ts';
import { ROLLOUT_KEYS } from './keys.ts';
import { toldOf } from './told.ts';
import { verdictOf } from './verdict.ts';

export const TOPICS = { act: 'rollout.act', gate: 'rollout.gate', drive: 'rollout.drive' } as const;

export type Written =
  /** `events` are for the engine: orders that could not be issued as it wanted. */
  | { result: 'done'; events: EngineEvent[] }
  | { result: 'conflict' }
  /** A node that was about to join belongs to another rollout by now. */
  | { result: 'taken'; node: string; owner: string };

/** A wave has no epoch of its own; the rollout's revision fences it. */
const WAVE_EPOCH = 0;

/** Of a setup, which changes once: when the turn of a rollout that waited has come. */
const FIXED = { state: 'fixed', epoch: 0 };

/** Nobody drives them. */
const STILL: readonly RolloutStatus[] = ['planned', 'waiting'];

/**
 * Writes a step: records, orders, audit and wake-ups in one compare-and-set on the rollout's revision.
 * @param at milliseconds since the epoch
 */
export async function writeStep(
  redis: Redis,
  base: RolloutState,
  step: Step,
  images: ImageFacts,
  at: number,
): Promise<Written> {
  const { id } = base.setup;
  const orders = await issueAll(redis, step.commands, images, at);
  const verdict = await verdictOf(redis, base, step, at);
  const decided = await decidedBy(redis, base, base.rollout, step.rollout, at);
  const change = {
    records: [...recordsOf(base, step), ...orders.records],
    ops: [...opsOf(base, step), ...(verdict === null ? [] : [verdict.op])],
    audit: [
      ...step.notes.map((note) => auditLine(auditOf(id, note, at))),
      ...(verdict === null ? [] : [verdict.audit]),
    ],
    outbox: [
      ...orders.commands.map((command) => ({
        topic: command.kind === 'gate' ? TOPICS.gate : TOPICS.act,
        body: JSON.stringify(command),
      })),
      // The process that drives it may be another one, or none.
      ...(base.rollout.state === step.rollout.state ? [] : [{ topic: TOPICS.drive, body: id }]),
    ],
  };
  const done = await commitFenced(redis, step.fence, change, decided);
  if (done.result === 'done') toldOf(redis, step.notes);
  if (done.result === 'taken') return { result: 'taken', node: done.field, owner: done.owner };
  return done.result === 'done' ? { result: 'done', events: orders.events } : { result: 'conflict' };
}

/** Whether nothing is ordered by it yet. */
const isQuestion = ({ of, kind }: NodeCommand): boolean => of === 'service' && kind === 'stage';

async function issueAll(redis: Redis, commands: readonly Command[], images: ImageFacts, at: number) {
  const nodes = [...new Set(commands.flatMap((command) => (command.kind === 'gate' ? [] : [command.node])))];
  const [inForce, pardons] =
    nodes.length === 0
      ? [new Map<string, Issued>(), new Map<string, string[]>()]
      : await Promise.all([readIssued(redis, nodes), readPardons(redis)]);
  const records = new Map<string, RecordChange>();
  const events: EngineEvent[] = [];
  const deliver: Command[] = [];
  for (const command of commands) {
    if (command.kind === 'gate' || isQuestion(command)) {
      deliver.push(command);
      continue;
    }
    const { node, epoch } = command;
    const before: Issued | undefined = inForce.get(node);
    const issued = issue(command, before, images, at, pardons.get(node));
    if (issued.result === 'stale') {
      const why = `epoch ${issued.has} was issued to it by another`;
      events.push({ type: 'refused', node, epoch, code: 'stale-epoch', why, has: issued.has });
      continue;
    }
    // If one step has several orders for one node, the last one is in force; each expects the state before the step.
    if (issued.result === 'new') records.set(node, issued.change);
    deliver.push(command);
  }
  return { records: [...records.values()], events, commands: deliver };
}

function recordsOf(base: RolloutState, step: Step): RecordChange[] {
  const { id } = base.setup;
  const { rollout } = step;
  return [
    {
      key: ROLLOUT_KEYS.rollout(id),
      expect: { state: base.rollout.state, epoch: base.rollout.rev },
      next: { state: rollout.state, epoch: rollout.rev, body: JSON.stringify(rollout) },
    },
    ...step.waves.map((wave): RecordChange => {
      const before = base.waves[wave.index];
      return {
        key: ROLLOUT_KEYS.wave(id, wave.index),
        expect: before === undefined ? null : { state: before.state, epoch: WAVE_EPOCH },
        next: { state: wave.state, epoch: WAVE_EPOCH, body: JSON.stringify(wave) },
      };
    }),
    ...step.nodes.map((node): RecordChange => {
      const before = base.nodes.get(node.node);
      return {
        key: ROLLOUT_KEYS.node(id, node.node),
        expect: before === undefined ? null : { state: before.state, epoch: before.epoch },
        next: { state: node.state, epoch: node.epoch, body: JSON.stringify(node) },
      };
    }),
  ];
}

/** What it keeps other rollouts from: nodes that it has not finished, but while it stands still, and once it ends, not those that wait. */
const holds = ({ state, yields }: RolloutRecord, node: StepState): boolean =>
  !FREE.includes(node) && !(node === 'pending' && (yields !== undefined || ENDING.includes(state)));

const ENDING: readonly RolloutStatus[] = ['aborting', 'rolling-back', ...ENDED];

/** Those that wait for their turn are let go together, and taken again together. */
function turnsOf(base: RolloutState, step: Step): Op[] {
  const [had, has] = [holds(base.rollout, 'pending'), holds(step.rollout, 'pending')];
  if (had === has || ENDING.includes(step.rollout.state)) return [];
  const moved = new Set(step.nodes.map(({ node }) => node));
  const waits = [...base.nodes.values()].filter(({ node, state }) => state === 'pending' && !moved.has(node));
  return waits.map(({ node: field }) => ({
    ...{ op: has ? 'claim' : 'release', key: HOLDERS, field, owner: base.setup.id },
  }));
}

function opsOf(base: RolloutState, step: Step): Op[] {
  const { id } = base.setup;
  const ops: Op[] = turnsOf(base, step);
  for (const { node, state } of step.nodes) {
    const before = base.nodes.get(node);
    if (before === undefined) ops.push({ op: 'join', key: ROLLOUT_KEYS.nodes(id), value: node });
    // A node that is finished is free at once; one that is rolled back has to be taken again.
    const had = before !== undefined && holds(base.rollout, before.state);
    const has = holds(step.rollout, state);
    if (has && !had) ops.push({ op: 'claim', key: HOLDERS, field: node, owner: id });
    if (had && !has) ops.push({ op: 'release', key: HOLDERS, field: node, owner: id });
  }
  if (ENDED.includes(step.rollout.state) && !ENDED.includes(base.rollout.state)) {
    ops.push({ op: 'leave', key: ROLLOUT_KEYS.live, value: id });
    for (const node of base.nodes.keys()) ops.push({ op: 'release', key: HOLDERS, field: node, owner: id });
  }
  return ops;
}

/** The setup as it is stored: never changed, and compared with what was decided byte for byte. */
export const setupText = ({ setup }: Pick<RolloutState, 'setup'>, images: ImageFacts): string =>
  JSON.stringify({ setup, images });

/**
 * The records of a new rollout; each of its nodes is held by it alone until it is finished.
 * @param first what an operator does to it in the same write: only its state, no node yet
 * @param waited its record while it waited for its turn; undefined: it is all new
 */
export function creation(
  state: RolloutState,
  images: ImageFacts,
  at: number,
  first: Pick<Step, 'rollout' | 'notes'>,
  waited?: RolloutRecord,
) {
  const { setup } = state;
  const { rollout } = first;
  const { id, after } = setup;
  const made = (
    key: string,
    what: string,
    epoch: number,
    body: string,
    expect: RecordChange['expect'] = null,
  ): RecordChange => ({ key, expect, next: { state: what, epoch, body } });
  const record = (key: string, what: string, epoch: number, body: unknown) =>
    made(key, what, epoch, JSON.stringify(body));
  const nodes = [...state.nodes.values()];
  const to = state.rollout.state;
  const begun: Note =
    waited === undefined
      ? { what: 'rollout', id, from: '', to, why: setup.spec.name, by: setup.author }
      : { what: 'rollout', id, from: waited.state, to, why: waited.why, by: 'engine' };
  const notes = [begun, ...first.notes];
  const change = {
    records: [
      made(ROLLOUT_KEYS.setup(id), FIXED.state, FIXED.epoch, setupText(state, images), waited && FIXED),
      made(
        ROLLOUT_KEYS.rollout(id),
        rollout.state,
        rollout.rev,
        JSON.stringify(rollout),
        waited && { state: waited.state, epoch: waited.rev },
      ),
      ...state.waves.map((wave) => record(ROLLOUT_KEYS.wave(id, wave.index), wave.state, WAVE_EPOCH, wave)),
      ...nodes.map((node) => record(ROLLOUT_KEYS.node(id, node.node), node.state, node.epoch, node)),
    ],
    ops: [
      { op: 'join', key: ROLLOUT_KEYS.all, value: id },
      { op: 'join', key: ROLLOUT_KEYS.live, value: id },
      ...(after === undefined
        ? []
        : [{ op: 'join' as const, key: ROLLOUT_KEYS.followers(after.rollout), value: id }]),
      ...nodes.flatMap(({ node }): Op[] => [
        { op: 'join', key: ROLLOUT_KEYS.nodes(id), value: node },
        { op: 'claim', key: HOLDERS, field: node, owner: id },
      ]),
    ] satisfies Op[],
    audit: notes.map((note) => auditLine(auditOf(id, note, at))),
    outbox: STILL.includes(rollout.state) ? [] : [{ topic: TOPICS.drive, body: id }],
  };
  return { change, notes };
}

function auditOf(rollout: string, note: Note, at: number): AuditEntry {
  return {
    at,
    actor: note.by === 'engine' ? 'rollout' : note.by,
    action: 'rollout',
    from: note.from,
    to: note.to,
    reason: note.why,
    ...(note.what === 'node' ? { node: note.id } : {}),
    detail: { rollout, ...(note.what === 'wave' ? { wave: note.id } : {}) },
  };
}
