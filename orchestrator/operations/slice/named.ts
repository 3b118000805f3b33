import { refusal } from '../../../base/error.ts';
import { fullName, inSlice, instanceNameSchema } from '../../../protocol/service/name.ts';

/**
 * The instance of a service of a slice, as its owner names it: `shop` or `web/shop`. That it is of the slice lies in the name.
 * @throws BootwaveError `SERVICE_NAME`
 */
export function serviceOfSlice(written: string, slice: string): string {
  const name = inSlice(fullName(written), slice);
  if (instanceNameSchema.safeParse(name).success) return name;
  throw refusal(
    'SERVICE_NAME',
    `${JSON.stringify(written.slice(0, 96))} is no name of a service`,
    `name one without its version and slice, as 'bootwave slice show ${slice}' does`,
  );
}
