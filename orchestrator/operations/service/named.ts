/** What a person calls a service, as the metadata has it. */
import { BootwaveError } from '../../../base/error.ts';
import { FLEET, parseServiceVersion, type ServiceVersion } from '../../../protocol/service/name.ts';

/** @throws BootwaveError `SERVICE_NAME` */
export function serviceIn(text: string): ServiceVersion {
  const found = parseServiceVersion(text);
  if (found !== null) return found;
  throw new BootwaveError({
    code: 'SERVICE_NAME',
    what: `${JSON.stringify(text.slice(0, 160))} is not NAME:VERSION`,
    unchanged: 'nothing was changed',
    next: 'write chrony:4.3, or web/shop:1.4 for a service of the owner web: lower case, and a version without + and _',
  });
}

/** With its owner. */
export const fullName = (name: string): string => (name.includes('/') ? name : `${FLEET}/${name}`);
/** As people write it. */
export const shownName = (name: string): string => name.replace(new RegExp(`^${FLEET}/`), '');
