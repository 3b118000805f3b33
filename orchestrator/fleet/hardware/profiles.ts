/** The profiles that people decided, and what they say of machines. */
import { refusal } from '../../../base/error.ts';
import type { By } from '../acting.ts';
import { modelOf } from '../attestation.ts';
import { Shelf, type Shelved } from '../decisions/shelf.ts';
import type { Fleet } from '../fleet.ts';
import type { NodeRecord } from '../record.ts';
import { type Expects, learnt, type Profile, profileSchema, shortfalls } from './profile.ts';

const SHELF = new Shelf<Profile>('profile', profileSchema);

/** Sites' names have no colon. */
const nameOf = ({ model, site }: Pick<Profile, 'model' | 'site'>): string => `${site ?? ''}:${model}`;

export type ProfileDecision = Shelved<Profile> & { value: Profile };

export const listProfiles = (fleet: Fleet): Promise<ProfileDecision[]> => SHELF.list(fleet);

/** @throws BootwaveError `PROFILE_UNKNOWN` */
export async function readProfile(
  fleet: Fleet,
  which: Pick<Profile, 'model' | 'site'>,
): Promise<ProfileDecision> {
  return (await SHELF.get(fleet, nameOf(which))) ?? Promise.reject(unknown(which));
}

export async function setProfile(
  fleet: Fleet,
  profile: Profile,
  by: By & { reason: string },
): Promise<ProfileDecision & { changed: boolean }> {
  const wanted = profileSchema.parse(profile);
  const { document, changed } = await SHELF.decide(
    fleet,
    nameOf(wanted),
    (known) => (JSON.stringify(known?.value) === JSON.stringify(wanted) ? 'same' : wanted),
    by,
  );
  return { ...document!, value: wanted, changed };
}

/** @throws BootwaveError `PROFILE_UNKNOWN` */
export async function removeProfile(
  fleet: Fleet,
  which: Pick<Profile, 'model' | 'site'>,
  by: By & { reason: string },
): Promise<void> {
  const { changed } = await SHELF.decide(fleet, nameOf(which), () => null, by);
  if (!changed) throw unknown(which);
}

/** What a profile of this node's model would be. @param models as `FirmwareStore.models` */
export const profileOf = (
  record: NodeRecord,
  models: ReadonlyMap<string, string>,
): { model: string; expects: Expects } => ({
  model: heldModel(record, models),
  expects: learnt(record.inventory),
});

/** A member stays what it was let in as, whatever it says later: another name shakes no profile off. */
const heldModel = (record: NodeRecord, models: ReadonlyMap<string, string>): string =>
  models.get(record.id) ?? modelOf(record);

export type Fit = {
  profile: Profile;
  /** In what it falls short; empty: in nothing. */
  flaws: string[];
};

/** Judges machines by what is decided now. */
export class Profiles {
  readonly #known: ReadonlyMap<string, Profile>;
  readonly #models: ReadonlyMap<string, string>;

  constructor(profiles: readonly Profile[], models: ReadonlyMap<string, string>) {
    this.#known = new Map(profiles.map((profile) => [nameOf(profile), profile]));
    this.#models = models;
  }

  static async read(fleet: Fleet): Promise<Profiles> {
    const all = (await listProfiles(fleet)).map(({ value }) => value);
    // Of every node of the fleet: nobody asks where there is no profile.
    return new Profiles(all, all.length === 0 ? new Map() : await fleet.firmware.models());
  }

  /** Undefined: there is no profile of its model. */
  fit(record: NodeRecord): Fit | undefined {
    const model = heldModel(record, this.#models);
    const profile =
      this.#known.get(nameOf({ model, site: record.site })) ?? this.#known.get(nameOf({ model, site: null }));
    if (profile === undefined) return undefined;
    const said = modelOf(record);
    const other = said === model ? [] : [`it says that it is a ${said}, and was let in as a ${model}`];
    return { profile, flaws: [...other, ...shortfalls(profile.expects, record.inventory)] };
  }

  /** Why it takes no new work; null: it may. */
  heldWhy(record: NodeRecord): string | null {
    const fit = this.fit(record);
    if (fit === undefined || fit.flaws.length === 0 || fit.profile.policy === 'report') return null;
    return `its hardware falls short of the profile of ${fit.profile.model}: ${fit.flaws.join('; ')}`.slice(
      0,
      1000,
    );
  }
}

const unknown = ({ model, site }: Pick<Profile, 'model' | 'site'>) =>
  refusal(
    'PROFILE_UNKNOWN',
    `there is no profile of ${JSON.stringify(model)}${site === null ? '' : ` at site ${site}`}`,
    `'bootwave profile list' shows them; 'bootwave profile learn NODE --reason WHY' makes one`,
  );
