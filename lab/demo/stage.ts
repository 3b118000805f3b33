import type { DataPaths } from '../../base/paths.ts';
import type { Fleet } from '../../orchestrator/fleet/fleet.ts';
import type { Lab } from '../lab.ts';
import type { View } from './view.ts';

/** What every act plays on. */
export type Stage = { lab: Lab; paths: DataPaths; fleet: Fleet; view: View; signal: AbortSignal };
