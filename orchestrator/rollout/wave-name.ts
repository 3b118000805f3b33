import { refusal } from '../../base/error.ts';
import type { RolloutSetup } from './record.ts';

/** The number by which people know a wave: from 1, which is also its name unless it was given another. */
export const numberOf = (index: number): number => index + 1;

/**
 * @param word a wave's name, or its number as `rollout show` has it
 * @returns its index
 * @throws BootwaveError `ROLLOUT_WAVE_UNKNOWN`
 */
export function waveOf({ id, waves }: Pick<RolloutSetup, 'id' | 'waves'>, word: string): number {
  const named = waves.findIndex(({ name }) => name.toLowerCase() === word.trim().toLowerCase());
  if (named >= 0) return named;
  const number = /^[1-9]\d{0,3}$/.test(word.trim()) ? Number(word) : 0;
  if (number >= 1 && number <= waves.length) return number - 1;
  throw refusal(
    'ROLLOUT_WAVE_UNKNOWN',
    `rollout ${id} has no wave '${word.slice(0, 80)}'`,
    `it has ${waves.map(({ name }, index) => `${numberOf(index)} (${name})`).join(', ')}`,
  );
}
