import { codeOf, messageOf } from '../../../base/error.ts';
import { createLogger } from '../../../base/log.ts';
import type { UpOptions } from '../../up/options.ts';
import { up } from '../../up/up.ts';
import type { ServedAddress } from '../../up/wires.ts';
import { openDoor } from '../door.ts';
import { openNetworkDoor } from '../network-door.ts';
import type { Acting } from '../operation.ts';

/** Runs until the signal fires; tells when it is ready. */
export async function run(
  options: { [K in keyof UpOptions]: UpOptions[K] | undefined } & UpInput,
  { paths, signal, tell, find }: Acting,
): Promise<Record<string, never>> {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const log = createLogger('bootwave');
  const house = { paths, log, find, now: Date.now };
  const running = await up(paths, given as UpOptions, log, signal, {
    here: (parts) => openDoor({ ...parts, ...house }),
    elsewhere: (parts, how) => openNetworkDoor({ ...parts, ...house }, how),
  });
  const reload = () => {
    running.reload().catch((error: unknown) => {
      const code = codeOf(error);
      log.error({ code }, `the configuration was not read again: ${messageOf(error)}`);
    });
  };
  process.on('SIGHUP', reload);
  tell({ addresses: running.addresses } satisfies UpTold);
  await running.done;
  process.off('SIGHUP', reload);
  return {};
}

type UpInput = Pick<
  UpOptions,
  'proxy' | 'site' | 'httpPort' | 'httpsPort' | 'heartbeat' | 'attestEvery' | 'certificateLife'
>;

export type UpTold = { addresses: readonly ServedAddress[] };
