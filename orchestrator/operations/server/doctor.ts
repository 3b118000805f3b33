import type { Check } from '../../doctor/check.ts';
import { type DoctorOptions, examine } from '../../doctor/doctor.ts';
import type { Acting } from '../operation.ts';

type Wanted = Pick<DoctorOptions, 'proxy' | 'httpPort' | 'httpsPort'> & {
  interface?: string | undefined;
  address?: string | undefined;
};

/** Tells each check as it comes. */
export const look = (
  { interface: name, address, ...wanted }: Wanted,
  { paths, signal, tell }: Acting,
): Promise<Check[]> =>
  examine({
    ...{ ...wanted, paths, signal, onCheck: tell },
    ...(name === undefined ? {} : { interface: name }),
    ...(address === undefined ? {} : { address }),
  });
