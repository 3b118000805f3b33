/** What systemd says of an instance's unit. Pure. */
import type { InstanceState } from '../../../../protocol/agent/services.ts';

export type UnitState = {
  state: Extract<InstanceState, 'starting' | 'running' | 'failed'>;
  /** Starts that systemd has made by itself since it was last begun. */
  restarts: number;
  /** Microseconds since the boot at which this state began; null: unknown to systemd. */
  since: number | null;
  /** How it ended last, else empty. */
  why: string;
};

/** `systemctl show --property=` */
export const UNIT_PROPERTIES = [
  'Id',
  'ActiveState',
  'NRestarts',
  'Result',
  'ExecMainCode',
  'ExecMainStatus',
  'StateChangeTimestampMonotonic',
] as const;

const ABSENT: UnitState = { state: 'failed', restarts: 0, since: null, why: '' };

/** @param text of `systemctl show` for several units: a block of lines each @returns by name of unit */
export function readUnits(text: string): Map<string, UnitState> {
  const units = new Map<string, UnitState>();
  for (const block of text.split('\n\n')) {
    const facts = new Map(
      block.split('\n').flatMap((row): [string, string][] => {
        const at = row.indexOf('=');
        return at < 1 ? [] : [[row.slice(0, at), row.slice(at + 1)]];
      }),
    );
    const id = facts.get('Id') ?? '';
    if (id !== '') units.set(id, stateOf(facts));
  }
  return units;
}

export const unitOf = (units: ReadonlyMap<string, UnitState>, name: string): UnitState =>
  units.get(name) ?? ABSENT;

function stateOf(facts: ReadonlyMap<string, string>): UnitState {
  const number = (name: string) => Number(facts.get(name) ?? 0) || 0;
  const active = facts.get('ActiveState') ?? '';
  const state = active === 'active' ? 'running' : /^(de)?activating$/.test(active) ? 'starting' : 'failed';
  const since = number('StateChangeTimestampMonotonic');
  return {
    state,
    restarts: number('NRestarts'),
    since: since === 0 ? null : since,
    why:
      state === 'running'
        ? ''
        : ending(facts.get('Result') ?? '', number('ExecMainCode'), number('ExecMainStatus')),
  };
}

/** @param code CLD_EXITED 1, CLD_KILLED 2, CLD_DUMPED 3 (waitid(2)) */
function ending(result: string, code: number, status: number): string {
  if (result === 'oom-kill') return 'it took more memory than it may';
  if (result === 'timeout') return 'it did not start or end in time';
  if (code === 1) return `it ended with exit code ${status}`;
  return code === 2 || code === 3 ? `signal ${status} ended it` : '';
}
