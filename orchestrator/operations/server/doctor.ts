import { defined } from '../../../base/defined.ts';
import type { Check } from '../../doctor/check.ts';
import { type DoctorOptions, examine } from '../../doctor/doctor.ts';
import { deaf } from '../bootserver/declared.ts';
import { ask, socketOf } from '../client.ts';
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
    deaf: async () => {
      try {
        const answered = await ask(socketOf(paths), { credential: null }, deaf.name, {});
        return 'result' in answered ? (answered.result as { interface: string; why: string }[]) : [];
      } catch {
        return [];
      }
    },
    ...defined({ interface: name, address }),
  });
