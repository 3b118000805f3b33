import { setTimeout as sleep } from 'node:timers/promises';
import { BootwaveError, messageOf } from '../../base/error.ts';
import type { Look } from '../../orchestrator/operations/rollout/acts.ts';
import type { RolloutEvent } from '../../orchestrator/rollout/run/history.ts';
import type { Progress } from '../../orchestrator/rollout/run/stored.ts';
import { shownVersion } from '../../orchestrator/rollout/services.ts';
import { timeLeft } from '../../orchestrator/rollout/time-left.ts';
import { harmless, jsonText } from '../context.ts';
import { chainLines, eventText, progressText } from './progress.ts';

export type WatchOptions = {
  json: boolean | undefined;
  signal: AbortSignal;
  /** Milliseconds between two looks. */
  every: number;
  /** Null: not a terminal, so one line for each event. */
  screen: (() => { columns: number; rows: number }) | null;
  write(text: string): void;
};

/** Events that a screen can hold. */
const RECENT = 20;

/**
 * Looks in a row that find no process at work, or no server, before it is reported: a change of the driver takes some
 * seconds.
 */
const PATIENCE = 10;

/** A server that is gone for a while, as during its restart: asked again. */
const AWAY = new Set(['SERVER_NOT_RUNNING', 'SERVER_LOST', 'SERVER_SILENT', 'UNEXPECTED']);

/**
 * Follows a rollout to its end.
 * @param look what has happened since the previous look; the first one has no events
 * @returns the exit code: 0 when it is done, 1 when it ended otherwise, 130 when the signal came first
 * @throws BootwaveError `ROLLOUT_UNKNOWN`, and whatever the first look throws
 */
export async function watchRollout(
  look: (after: string | undefined) => Promise<Look>,
  id: string,
  options: WatchOptions,
): Promise<number> {
  const { signal, every } = options;
  const view = viewOf(options);
  let { after, progress, driven } = await look(undefined);
  view.begin(progress);
  let idle = 0;
  for (let events: RolloutEvent[] = []; ; ) {
    view.show(progress, events);
    if (progress.rollout.endedAt !== null) {
      view.end(progress);
      return progress.rollout.state === 'done' ? 0 : 1;
    }
    idle = driven ? 0 : idle + 1;
    if (driven) view.note('');
    else if (idle >= PATIENCE) view.note(`nobody carries it out: is 'bootwave up' running?`);
    for (let looked = false; !looked; ) {
      await sleep(every, undefined, { signal }).catch(() => {});
      if (signal.aborted) {
        view.note(
          `no longer watched; nothing was stopped: the rollout goes on (bootwave rollout watch ${id})`,
        );
        return 130;
      }
      try {
        ({ after, progress, events, driven } = await look(after));
        looked = true;
      } catch (error) {
        if (!(error instanceof BootwaveError && AWAY.has(error.code))) throw error;
        idle += 1;
        if (idle >= PATIENCE) view.note(`it cannot be looked at: ${messageOf(error)}`);
      }
    }
  }
}

type View = {
  begin(progress: Progress): void;
  show(progress: Progress, events: readonly RolloutEvent[]): void;
  end(progress: Progress): void;
  /** Notes about the watching itself; empty: none any more. */
  note(text: string): void;
};

/** Prints a note once, until it changes. */
function once(say: (text: string) => void): (text: string) => void {
  let said = '';
  return (text) => {
    if (text !== '' && text !== said) say(text);
    said = text;
  };
}

function viewOf({ json, screen, write }: WatchOptions): View {
  if (json === true) return jsonView(write);
  return screen === null ? lineView(write) : screenView(write, screen);
}

/** One object a line: `state` at the beginning, at the end and when a wave moves, `event` for everything that happens. */
function jsonView(write: WatchOptions['write']): View {
  const state = ({ setup, rollout, waves, chain = [] }: Progress) => {
    const { id, state, why, by, wave, failures, endedAt, inFlight } = rollout;
    const left = timeLeft({ setup, rollout }, waves);
    const told = waves.map(({ index, state, size, counts }) => ({
      index,
      name: setup.waves[index]?.name,
      state,
      size,
      counts,
    }));
    write(
      `${JSON.stringify({ type: 'state', rollout: id, state, why, by, wave, underWay: inFlight.whole, failures, endedAt, left, waves: told, chain })}\n`,
    );
  };
  return {
    begin: state,
    show(progress, events) {
      for (const event of events) write(`${jsonText({ type: 'event', ...event })}\n`);
      const ended = progress.rollout.endedAt !== null;
      if (!ended && events.some(({ what }) => what !== 'node')) state(progress);
    },
    end: state,
    note: once((text) => write(`${jsonText({ type: 'note', text })}\n`)),
  };
}

function lineView(write: WatchOptions['write']): View {
  const state = ({ setup, rollout, waves, chain }: Progress) => {
    const all = waves.reduce((sum, { size }) => sum + size, 0);
    const done = waves.reduce((sum, { counts }) => sum + counts.done, 0);
    const { id, state, by, why, failures } = rollout;
    write(`${id} is ${state} (${by}): ${why}\n`);
    write(`${done} of ${all} nodes are on ${shownVersion(setup.target.version)}, ${failures} failed\n`);
    for (const line of chainLines(chain, id)) write(`${harmless(line)}\n`);
  };
  return {
    begin: state,
    show: (_, events) => {
      for (const event of events) write(`${eventText(event)}\n`);
    },
    end: state,
    note: once((text) => write(`${harmless(text)}\n`)),
  };
}

function screenView(write: WatchOptions['write'], screen: NonNullable<WatchOptions['screen']>): View {
  const recent: RolloutEvent[] = [];
  let noted = '';
  let last: Progress | null = null;
  const draw = (progress: Progress) => {
    last = progress;
    const { columns, rows } = screen();
    const below = noted === '' ? '' : `\n\n${harmless(noted).slice(0, columns)}`;
    const text = progressText(progress, recent, { columns, rows: below === '' ? rows : rows - 2 }) + below;
    // Home, then clear to the end of each line and of the screen: no flicker.
    write(`\x1b[H${text.replaceAll('\n', '\x1b[K\n')}\x1b[K\n\x1b[J`);
  };
  return {
    begin: draw,
    show(progress, events) {
      recent.push(...events);
      recent.splice(0, Math.max(0, recent.length - RECENT));
      draw(progress);
    },
    end: () => {},
    note(text) {
      if (text === noted) return;
      noted = text;
      if (last !== null) draw(last);
    },
  };
}
