/** What a person calls a service, as the metadata has it. */
import { refusal } from '../../../base/error.ts';
import {
  fullName,
  NONE,
  parseServiceVersion,
  type ServiceVersion,
  type serviceNameSchema,
} from '../../../protocol/service/name.ts';

/** @throws BootwaveError `SERVICE_NAME` */
export function serviceIn(text: string): ServiceVersion {
  const found = parseServiceVersion(text);
  if (found?.version === NONE)
    throw refusal(
      'SERVICE_NAME',
      `no version is called ${NONE}: in a rollout that is the end of a service`,
      'give it another version',
    );
  if (found !== null) return found;
  throw refusal(
    'SERVICE_NAME',
    `${JSON.stringify(text.slice(0, 160))} is not NAME:VERSION`,
    'write chrony:4.3, or web/shop:1.4 for a service of the owner web: lower case, and a version without + and _',
  );
}

/**
 * A name without a version.
 * @param allowed names as the metadata has them
 * @throws BootwaveError `code`
 */
export function nameIn(
  written: string,
  allowed: typeof serviceNameSchema,
  code: 'SERVICE_NAME' | 'SERVICE_NOWHERE',
  next: string,
): string {
  const name = fullName(written);
  if (allowed.safeParse(name).success) return name;
  throw refusal(code, `${JSON.stringify(written)} is no name of a service`, next);
}
