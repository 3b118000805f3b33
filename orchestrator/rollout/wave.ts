/** How waves follow each other: open, baking, gated, done; and when a rollout stops or ends. */

import { activateStaged, admit, openSites, restoreFailed, unwind } from './admit.ts';
import { isGoingForward } from './after.ts';
import { stageAhead, takeTurns } from './ahead.ts';
import { hasWaited } from './around.ts';
import { overspent, provingWave } from './budget.ts';
import type { Draft } from './draft.ts';
import type { EngineEvent } from './event.ts';
import { isWaveGate, type WaveGate } from './gate.ts';
import { UNDER_WAY } from './node-step.ts';
import type { WaveRecord } from './record.ts';
import { shownVersion } from './services.ts';
import { bakeOf, gatesOf, takeFileBack, takeLeftFilesBack } from './step.ts';
import { letGo } from './yield.ts';

/** Pauses at once; then rolls back, if the policy says so. */
function spend(d: Draft, why: string) {
  const { rollout } = d;
  rollout.spent = why;
  // What waited for an outage to be over, and would go on by itself, now waits for a person.
  if (rollout.held !== null) {
    rollout.held = null;
    d.setState('paused', why, 'engine');
  }
  if (rollout.state === 'running') pause(d, why, 'engine');
  if (d.setup.spec.onSpent === 'rollback') d.setState('rolling-back', why, 'engine');
}

export function pause(d: Draft, why: string, by: string) {
  const before = d.rollout.state === 'rolling-back' ? 'rolling-back' : 'running';
  d.setState('paused', why, by);
  d.rollout.before = before;
}

/** Call it after every single event: a budget is spent at once, not at the end of a batch. */
export function checkBudget(d: Draft) {
  const { rollout } = d;
  if (rollout.spent !== null) return;
  if (!isGoingForward(rollout)) return;
  const why = overspent(d);
  if (why !== null) spend(d, why);
}

/** Does whatever may be done now. */
export function settle(d: Draft) {
  const { rollout } = d;
  switch (rollout.state) {
    case 'running':
      restoreFailed(d);
      while (rollout.state === 'running' && progress(d));
      return;
    case 'paused':
      if (rollout.yields !== undefined) letGo(d);
      if (rollout.before === 'running') restoreFailed(d);
      return;
    case 'rolling-back':
      if (unwind(d)) {
        const { spent, why, by } = rollout;
        if (spent !== null) d.setState('failed', `${spent}; ${takenBack(d)}`, 'engine');
        else d.setState('aborted', `rolled back: ${why}; ${takenBack(d)}`, by);
      }
      return;
    case 'aborting':
      takeBackStaged(d);
      restoreFailed(d);
      if (d.total(...UNDER_WAY) === 0 && d.clock >= rollout.resync) {
        d.setState('aborted', rollout.why, rollout.by);
      }
      return;
    default:
      return;
  }
}

/** How many names fit into a reason. */
const NAMED = 5;

/** The state of everything touched, in words. */
function takenBack(d: Draft): string {
  const lost: string[] = [];
  let others = 0;
  for (const { touch, state, name, taken } of d.everybody()) {
    if (touch === 0) continue;
    if (state === 'needs-recovery') lost.push(name);
    else if (taken) others += 1;
  }
  const parts: string[] = [];
  if (lost.length > 0) {
    const more = lost.length > NAMED ? ` and ${lost.length - NAMED} more` : '';
    parts.push(`${lost.length} need recovery (${lost.sort().slice(0, NAMED).join(', ')}${more})`);
  }
  if (others > 0) parts.push(`${others} belong to a newer change and were left alone`);
  if (parts.length === 0) return 'everything touched was taken back';
  return `${d.total('rolled-back', 'taken-back')} were taken back, ${parts.join(', ')}`;
}

const ENDS = 'the rollout ends here';

function takeBackStaged(d: Draft) {
  for (const id of d.active()) {
    const { state } = d.peek(id)!;
    if (state === 'staging' || state === 'staged') takeFileBack(d, d.edit(id), ENDS);
  }
  takeLeftFilesBack(d, ENDS);
}

/** @returns whether the next wave must be checked */
function progress(d: Draft): boolean {
  const { rollout, setup } = d;
  const known = d.peekWave(rollout.wave);
  const { notAfter } = setup.spec;
  if (known.state === 'waiting') d.setWave(d.wave(known.index), 'open', 'its turn');
  if (d.peekWave(known.index).state === 'open') {
    if (notAfter !== undefined && d.at >= notAfter && known.counts.pending + known.counts.staged > 0) {
      pause(d, 'notAfter has come and nodes are left', 'engine');
      return false;
    }
    const open = openSites(d);
    takeTurns(d, open);
    admit(d, known.index, open);
    stageAhead(d, known.index);
    activateStaged(d, open);
    if (!emptied(d, d.peekWave(known.index))) return false;
    const wave = d.wave(known.index);
    const { kind, planned } = setup.waves[wave.index]!;
    const isUnproved = kind === 'regular' && planned > 0 && wave.counts.done === 0 && !isTaken(d, wave);
    if (isUnproved && !wave.waived && !wave.skipped) {
      pause(d, `no node of ${setup.waves[wave.index]!.name} proved the version`, 'engine');
      return false;
    }
    d.setWave(wave, wave.counts.done === 0 ? 'done' : 'baking', 'all its nodes are through');
  }
  if (d.peekWave(known.index).state === 'baking') {
    const wave = d.peekWave(known.index);
    if (d.clock - wave.since < bakeOf(d, wave.index, 'wave') || !settled(wave)) return false;
    d.setWave(d.wave(wave.index), 'gated', 'baked');
  }
  if (d.peekWave(known.index).state === 'gated') {
    if (!passGates(d, d.peekWave(known.index)) || rollout.state !== 'running') return false;
    d.setWave(d.wave(known.index), 'done', 'passed');
  }
  return nextWave(d);
}

/** Another rollout has taken all its nodes before their turn. The first wave has to prove the version all the same. */
function isTaken(d: Draft, { index, size }: Readonly<WaveRecord>): boolean {
  if (size === 0 || index <= provingWave(d.setup)) return false;
  return [...d.everybody()].every(
    ({ wave, state, taken }) => wave !== index || (state === 'skipped' && taken),
  );
}

function settled(wave: Readonly<WaveRecord>): boolean {
  return UNDER_WAY.every((state) => wave.counts[state] === 0);
}

/** No node of it is under way, and none is to come. */
function emptied(d: Draft, wave: Readonly<WaveRecord>): boolean {
  if (!settled(wave)) return false;
  if (wave.counts.pending === 0 || wave.skipped) return true;
  if (d.setup.waves[wave.index]!.kind === 'regular') return false;
  if (d.clock - wave.since < d.setup.spec.offline.wait) return false;
  // Those that are back only wait for a window or a slot; the others, and those that wait for others, had their time.
  return d.placesOf(wave.index).every((id, position) => {
    const node = id === undefined ? undefined : d.peek(id);
    if (node?.state !== 'pending' || node.position !== position) return true;
    return !node.reachable || node.term !== d.rollout.term || hasWaited(d, node);
  });
}

function nextWave(d: Draft): boolean {
  const { rollout } = d;
  if (rollout.wave + 1 < d.waveCount) {
    rollout.wave += 1;
    return true;
  }
  // Nodes of earlier waves may still be on their way back.
  if (d.total(...UNDER_WAY) > 0 || d.clock < rollout.resync) return false;
  if (takeLeftFilesBack(d, ENDS)) return false;
  let size = 0;
  let unheard = 0;
  let others = 0;
  for (let index = 0; index < d.waveCount; index += 1) {
    size += d.peekWave(index).size;
    for (const [position, id] of d.placesOf(index).entries()) {
      const node = id === undefined ? undefined : d.peek(id);
      if (node?.wave !== index || node.position !== position) continue;
      if (node.state === 'skipped' && node.taken) others += 1;
      // The state from before a failover proves nothing: the store may have lost writes.
      if (node.state === 'done' && (node.term !== rollout.term || node.lost !== null)) unheard += 1;
    }
  }
  const missing = size - (d.total('done') - unheard) - rollout.gone;
  const version = shownVersion(d.setup.target.version);
  const but = others === 0 ? '' : `, but for ${others} that another rollout has taken`;
  if (missing === 0) d.setState('done', `every node is on ${version}${but}`, 'engine');
  else d.setState('partial', `${missing} of ${size} nodes are not known to be on ${version}`, 'engine');
  return false;
}

export function waveGates(d: Pick<Draft, 'setup'>, wave: number): WaveGate[] {
  return gatesOf(d, wave).filter(isWaveGate);
}

/** The gate that a wave waits at; undefined when it waits at none. */
export function gateAt(d: Draft, wave: Readonly<WaveRecord>): WaveGate | undefined {
  return wave.state === 'gated' ? waveGates(d, wave.index)[wave.gate] : undefined;
}

/** @returns whether all have passed; asks the one that is next, once per try, again when its answer is overdue */
function passGates(d: Draft, known: Readonly<WaveRecord>): boolean {
  const gate = gateAt(d, known);
  if (gate === undefined) return true;
  if (gate.kind === 'manual') return false;
  if (known.asked !== null) {
    if (d.clock - known.asked < gate.timeout + d.setup.spec.timeouts.resend) return false;
  } else if (known.failedAt !== null && d.clock - known.failedAt < gate.every) return false;
  const wave = d.wave(known.index);
  if (wave.asked === null) wave.run += 1;
  wave.asked = d.clock;
  d.commands.push({
    kind: 'gate',
    rollout: d.setup.id,
    wave: wave.index,
    gate: wave.gate,
    run: wave.run,
  });
  return false;
}

export function passGate(wave: WaveRecord) {
  wave.gate += 1;
  wave.away = 0;
  wave.tries = 0;
  wave.asked = null;
  wave.failedAt = null;
}

export function onGate(d: Draft, event: Extract<EngineEvent, { type: 'gate' }>) {
  if (event.wave !== d.rollout.wave) return;
  const known = d.peekWave(event.wave);
  const gate = gateAt(d, known);
  if (gate === undefined || gate.kind === 'manual') return;
  if (known.gate !== event.gate || known.run !== event.run || known.asked === null) return;
  const wave = d.wave(event.wave);
  if (event.ok) return passGate(wave);
  wave.asked = null;
  wave.failedAt = d.clock;
  // A check that does not answer says nothing against the version.
  if (event.away === true) {
    wave.away = (wave.away ?? 0) + 1;
    if (wave.away !== gate.tries || d.rollout.state !== 'running') return;
    const name = d.setup.waves[wave.index]!.name;
    const why = `waits at gate ${gate.kind} of ${name}: nobody answers (${event.why}); it is asked again, or promoted`;
    d.rollout.why = why;
    d.noteWave(wave, why);
    return;
  }
  wave.away = 0;
  wave.tries += 1;
  if (wave.tries < gate.tries || d.rollout.state !== 'running') return;
  wave.tries = 0;
  spend(d, `gate ${gate.name} of ${d.setup.waves[wave.index]!.name} failed: ${event.why}`);
}
