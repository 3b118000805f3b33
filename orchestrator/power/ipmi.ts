/** IPMI 2.0 over LAN by Debian's `ipmitool`. The password goes by its environment, where other users cannot read it. */
import { randomBytes } from 'node:crypto';
import { type RunResult, run } from '../../base/run.ts';
import {
  type Access,
  type Bmc,
  badAnswer,
  badLogin,
  bmcError,
  type Hole,
  LIMITS,
  type PowerAction,
  SUITES,
  type Suite,
  silent,
} from './bmc.ts';
import { uuidsOf } from './claim.ts';
import { failureIn, nextBootIn, powerIn, rawBytes, serialIn, wordsIn } from './ipmi-output.ts';

/** Get System GUID (IPMI 2.0, 20.8). */
const GUID = ['raw', '0x06', '0x37'];
/** Get System Boot Options, boot flags (28.13). */
const BOOT_FLAGS = ['raw', '0x00', '0x09', '0x05', '0x00', '0x00'];
/** Bytes: IPMI 2.0 has no longer ones. */
export const LONGEST = { user: 16, password: 20 } as const;

export function ipmi(access: Access, signal: AbortSignal): Bmc {
  const { host } = access;
  let { suite } = access;

  const call = (args: readonly string[], how: { suite: number; password?: string }): Promise<RunResult> =>
    run('ipmitool', [...argumentsOf(access, how.suite), ...args], {
      env: { PATH: process.env.PATH ?? '', IPMI_PASSWORD: how.password ?? access.password },
      timeout: LIMITS.question,
      keep: LIMITS.answer,
      signal,
    });

  /** The suite that works is found once: an answer that none is spoken is given before any password. */
  const ask = async (args: readonly string[]): Promise<string> => {
    for (const one of suite === null ? SUITES : [suite]) {
      const done = await call(args, { suite: one }).catch((cause: NodeJS.ErrnoException) => {
        signal.throwIfAborted();
        if (cause.code !== 'ENOENT') throw cause;
        throw bmcError('BMC_TOOL', 'the program ipmitool is not installed', "run 'make setup'", cause);
      });
      const text = `${done.stdout}\n${done.stderr}`;
      if (done.code === 0) {
        suite = one;
        return done.stdout;
      }
      const why = failureIn(text);
      if (why === 'suite') continue;
      if (why === 'login') throw badLogin(host);
      if (why === 'silent' || done.code === 128) throw silent(host);
      throw badAnswer(host, `refused ${args.join(' ')}: ${wordsIn(text) || `exit code ${done.code}`}`);
    }
    throw bmcError(
      'BMC_SUITE',
      `the BMC at ${host} speaks ${suite === null ? 'neither cipher suite 17 nor 3' : `cipher suite ${suite} no longer`}`,
      suite === null
        ? 'suite 0 is never used: newer firmware may help'
        : "set it again: 'bootwave node bmc set'",
    );
  };

  /** What a BMC need not have. */
  const maybe = (args: readonly string[]) =>
    ask(args).catch((error: unknown) => {
      if ((error as { code?: string }).code === 'BMC_ANSWER') return '';
      throw error;
    });

  return {
    get suite() {
      return suite;
    },
    firmware: null,
    async power() {
      const text = await ask(['chassis', 'power', 'status']);
      return powerIn(text) ?? Promise.reject(badAnswer(host, 'does not say whether the power is on'));
    },
    async uuids() {
      const bytes = rawBytes(await maybe(GUID));
      return bytes?.length === 16 ? uuidsOf(bytes) : [];
    },
    serial: async () => serialIn(await maybe(['fru', 'print', '0'])),
    async act(action: PowerAction) {
      await ask(['chassis', 'power', action]);
    },
    async nextFromNetwork(firmware) {
      await ask(['chassis', 'bootdev', 'pxe', ...(firmware === 'uefi' ? ['options=efiboot'] : [])]);
      const flags = nextBootIn(rawBytes(await ask(BOOT_FLAGS)) ?? new Uint8Array());
      if (flags?.network === true) return;
      throw bmcError(
        'BMC_NEXT',
        `the BMC at ${host} said yes, and does not keep that the next boot is from the network`,
        'set the boot order of the machine itself to the network first',
      );
    },
    async holes(): Promise<Hole[]> {
      const nobody = randomBytes(8).toString('hex');
      const done = await call(['chassis', 'power', 'status'], { suite: 0, password: nobody });
      return done.code === 0 && powerIn(done.stdout) !== null ? ['cipher-zero'] : [];
    },
  };
}

/**
 * Pure. `-N 1 -R 1`: a dead one costs 2 s and not 21 s; `-v` says why it failed; `-E` reads the password from the environment.
 */
export function argumentsOf({ host, port, user }: Access, suite: Suite | number): string[] {
  return [
    ...['-I', 'lanplus', '-C', String(suite), '-N', '1', '-R', '1', '-v'],
    ...['-H', host, '-p', String(port), '-U', user, '-E'],
  ];
}
