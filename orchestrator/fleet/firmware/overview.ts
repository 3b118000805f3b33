import { modelOf } from '../attestation.ts';
import type { Fleet } from '../fleet.ts';
import type { NodeRecord } from '../record.ts';
import { isMember } from '../transitions.ts';
import type { FirmwareModel, FirmwareValue } from './model.ts';
import { pcr0Of } from './verdict.ts';

/** One value of one model. */
export type FirmwareView = {
  model: string;
  /** Hex. */
  pcr0: string;
  firmware: FirmwareValue['firmware'];
  /** Who showed it first, and who accepted or withdrew it; null: it is only shown. */
  known: Pick<FirmwareValue, 'node' | 'name' | 'at' | 'by' | 'reason' | 'takenBack'> | null;
  /** Names of those that show it now, members and those that wait for approval. */
  nodes: string[];
};

/**
 * What is known, and what is shown without being known.
 * @param models node id -> model that it was let in as
 */
function firmwareViews(
  known: readonly FirmwareModel[],
  records: readonly NodeRecord[],
  models: ReadonlyMap<string, string>,
): FirmwareView[] {
  const views = new Map<string, FirmwareView>();
  for (const { model, values } of known) {
    for (const { pcr0, firmware, ...how } of values)
      views.set(keyOf(model, pcr0), { model, pcr0, firmware, known: how, nodes: [] });
  }
  for (const record of records) {
    const { id, name, state, observed, inventory } = record;
    const pcr0 = pcr0Of(observed.pcrs);
    if (pcr0 === null || inventory.firmware.kind !== 'uefi' || !(isMember(state) || state === 'pending'))
      continue;
    const model = models.get(id) ?? modelOf(record);
    const key = keyOf(model, pcr0);
    const { vendor, version, date } = inventory.firmware;
    const view = views.get(key) ?? {
      ...{ model, pcr0, firmware: { vendor, version, date }, known: null, nodes: [] },
    };
    view.nodes.push(name);
    views.set(key, view);
  }
  for (const { nodes } of views.values()) nodes.sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  return [...views.values()].sort((a, b) => a.model.localeCompare(b.model) || timeOf(a) - timeOf(b));
}

const keyOf = (model: string, pcr0: string) => `${pcr0} ${model}`;

/** Values that wait for a decision come last. */
const timeOf = ({ known }: FirmwareView): number => known?.at ?? Number.MAX_VALUE;

export async function firmwareOverview(fleet: Fleet): Promise<FirmwareView[]> {
  const { firmware, nodes } = fleet;
  const [known, models, ids] = await Promise.all([firmware.list(), firmware.models(), nodes.ids()]);
  return firmwareViews(known, await nodes.getMany(ids), models);
}
