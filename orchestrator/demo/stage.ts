import type { DataPaths } from '../../base/paths.ts';
import type { Lab } from '../../lab/lab.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { View } from './view.ts';

/** What every act plays on. */
export type Stage = { lab: Lab; paths: DataPaths; fleet: Fleet; view: View; signal: AbortSignal };
