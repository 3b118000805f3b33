import { refusal } from '../../../base/error.ts';
import { releasedServices } from '../../../image/publish/services.ts';
import { GROWTH_SECRET } from '../../../protocol/service/growth.ts';
import { instanceNameSchema, serviceOf, shownName, sliceOf } from '../../../protocol/service/name.ts';
import { forget, SECRET_LIMITS, secretNameSchema } from '../../../protocol/service/secrets.ts';
import { type SecretPlace, SecretStore, type ShownSecret } from '../../secrets/store.ts';
import type { Acting } from '../operation.ts';
import { nameIn } from '../service/named.ts';

type Which = { service: string; name: string; site?: string | undefined };

export type SecretSet = SecretPlace & {
  number: number;
  /** Released versions whose manifest names it. */
  versions: string[];
};

export async function set({ value: text, ...which }: Which & { value: string }, acting: Acting) {
  const { paths, by } = acting;
  const place = await placeOf(which, acting);
  if (place.name === GROWTH_SECRET && sliceOf(place.service) !== null)
    throw refusal(
      'SECRET_NAME',
      `the fleet itself gives ${GROWTH_SECRET} to instances of slices`,
      "'bootwave slice create --grow' makes a slice that grows",
    );
  const value = Buffer.from(text, 'base64');
  try {
    if (value.length === 0 || value.length > SECRET_LIMITS.value)
      throw refusal(
        'SECRET_VALUE',
        `a secret has 1 to ${SECRET_LIMITS.value} bytes; this one has ${value.length}`,
      );
    await note(acting, 'secret-set', place);
    const number = await new SecretStore(paths).set(place, value, by);
    const versions = (await releasedServices(paths))
      .filter(
        ({ name, custom }) =>
          name === serviceOf(place.service) && custom.manifest.secrets?.includes(place.name),
      )
      .map(({ version }) => version);
    return { ...place, number, versions } satisfies SecretSet;
  } finally {
    forget([value]);
  }
}

export const list = (_: object, { paths }: Acting): Promise<ShownSecret[]> => new SecretStore(paths).list();

export async function remove(which: Which, acting: Acting) {
  const place = await placeOf(which, acting);
  const store = new SecretStore(acting.paths);
  const isThere = (await store.list()).some(
    (one) => one.service === place.service && one.name === place.name && one.site === place.site,
  );
  if (isThere) await note(acting, 'secret-remove', place);
  const number = isThere ? await store.remove(place) : null;
  if (number === null)
    throw refusal(
      'SECRET_UNKNOWN',
      `${shown(place)} is not set here`,
      "'bootwave service secret list' shows what is",
    );
  return { service: place.service, name: place.name, number };
}

/** Before it is done: the history misses none. Where and by whom; nothing that is made of a value. */
async function note({ fleet, by }: Acting, action: string, place: SecretPlace): Promise<void> {
  await fleet.audit.append({ ...by, action, reason: shown(place) });
}

const shown = ({ service, name, site }: SecretPlace): string =>
  `secret ${name} of ${shownName(service)}${site === null ? '' : ` for site ${site}`}`;

/** @throws BootwaveError `SERVICE_NAME`, `SECRET_NAME`, `SITE_UNKNOWN` */
async function placeOf({ service: written, name, site }: Which, { fleet }: Acting): Promise<SecretPlace> {
  const service = nameIn(
    written,
    instanceNameSchema,
    'SERVICE_NAME',
    'write chrony, or web/shop for a service of the owner web, web/shop@probe for that of a slice, without a version',
  );
  if (!secretNameSchema.safeParse(name).success)
    throw refusal(
      'SECRET_NAME',
      `${JSON.stringify(name)} is no name of a secret`,
      'write it as its manifest does: lower case letters, digits, dots and dashes, such as db-password',
    );
  if (site !== undefined) await fleet.sites.get(site);
  return { service, name, site: site ?? null };
}
