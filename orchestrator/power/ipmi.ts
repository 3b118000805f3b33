/** IPMI 2.0 over LAN by Debian's `ipmitool`. The password goes by its environment, where other users cannot read it. */
import { randomBytes } from 'node:crypto';
import { type RunResult, run } from '../../base/run.ts';
import {
  type Access,
  type Bmc,
  badAnswer,
  bmcError,
  type Hole,
  keptNext,
  LIMITS,
  lostNext,
  type PowerAction,
  SUITES,
} from './bmc.ts';
import { uuidsOf } from './claim.ts';
import { failureIn, nextBootIn, powerIn, rawBytes, serialIn } from './ipmi-output.ts';
import { openSerial } from './ipmi-serial.ts';
import { argumentsOf, environmentOf, failureOf, toolMissing } from './ipmi-tool.ts';

/** Get System GUID (IPMI 2.0, 20.8). */
const GUID = ['raw', '0x06', '0x37'];
/** Get System Boot Options, boot flags (28.13). */
const BOOT_FLAGS = ['raw', '0x00', '0x09', '0x05', '0x00', '0x00'];
/** Bytes: IPMI 2.0 has no longer ones. */
export const LONGEST = { user: 16, password: 20 } as const;

/** Seconds for each packet. */
const QUICK = 1;
const PATIENT = 4;

export function ipmi(access: Access, signal: AbortSignal): Bmc {
  const { host } = access;
  let { suite } = access;

  const call = (
    args: readonly string[],
    how: { suite: number; wait: number; password?: string },
    until = signal,
  ): Promise<RunResult> =>
    run('ipmitool', [...argumentsOf(access, how), ...args], {
      env: environmentOf(how.password ?? access.password),
      timeout: LIMITS.question,
      keep: LIMITS.answer,
      signal: until,
    }).catch((cause: NodeJS.ErrnoException) => {
      until.throwIfAborted();
      throw cause.code === 'ENOENT' ? toolMissing(cause) : cause;
    });

  /** The suite that works is found once: an answer that none is spoken is given before any password. */
  const ask = async (args: readonly string[], wait: number, until = signal): Promise<string> => {
    for (const one of suite === null ? SUITES : [suite]) {
      const done = await call(args, { suite: one, wait }, until);
      if (done.code === 0) {
        suite = one;
        return done.stdout;
      }
      const text = `${done.stdout}\n${done.stderr}`;
      if (failureIn(text) === 'suite') continue;
      throw failureOf(host, args, { ...done, text });
    }
    throw bmcError(
      'BMC_SUITE',
      `the BMC at ${host} speaks ${suite === null ? 'neither cipher suite 17 nor 3' : `cipher suite ${suite} no longer`}`,
      suite === null
        ? 'suite 0 is never used: newer firmware may help'
        : "set it again: 'bootwave node bmc set'",
    );
  };

  /** A dead one costs 2 s; one that lives and is slow is asked again, with patience. */
  const read = (args: readonly string[]): Promise<string> =>
    ask(args, QUICK).catch((error: { code?: string }) =>
      error.code === 'BMC_ANSWER' ? ask(args, PATIENT) : Promise.reject(error),
    );

  /** What a BMC need not have. */
  const maybe = (args: readonly string[]) =>
    read(args).catch((error: { code?: string }) => {
      if (error.code === 'BMC_ANSWER' || error.code === 'BMC_REFUSED') return '';
      throw error;
    });

  return {
    get suite() {
      return suite;
    },
    firmware: null,
    async power() {
      const text = await read(['chassis', 'power', 'status']);
      return powerIn(text) ?? Promise.reject(badAnswer(host, 'does not say whether the power is on'));
    },
    async uuids() {
      const bytes = rawBytes(await maybe(GUID));
      return bytes?.length === 16 ? uuidsOf(bytes) : [];
    },
    serial: async () => serialIn(await maybe(['fru', 'print', '0'])),
    async console(until, take) {
      // What nobody has open is no error.
      if (take) await maybe(['sol', 'deactivate']);
      return openSerial(access, suite ?? SUITES[1], until);
    },
    async act(action: PowerAction) {
      // Told once: a second cycle would not be the first one's.
      await ask(['chassis', 'power', action], PATIENT);
    },
    async nextFromNetwork(firmware) {
      await ask(['chassis', 'bootdev', 'pxe', ...(firmware === 'uefi' ? ['options=efiboot'] : [])], PATIENT);
      const flags = nextBootIn(rawBytes(await read(BOOT_FLAGS)) ?? new Uint8Array());
      if (flags?.network === true) return;
      throw lostNext(host);
    },
    async nextAsUsual() {
      const until = AbortSignal.timeout(LIMITS.takeBack);
      await ask(['chassis', 'bootdev', 'none'], PATIENT, until);
      const flags = nextBootIn(rawBytes(await ask(BOOT_FLAGS, PATIENT, until)) ?? new Uint8Array());
      if (flags?.network !== false) throw keptNext(host);
    },
    async holes(): Promise<Hole[]> {
      const password = randomBytes(8).toString('hex');
      for (const wait of [QUICK, PATIENT]) {
        const done = await call(['chassis', 'power', 'status'], { suite: 0, wait, password });
        if (powerIn(done.stdout) !== null) return ['cipher-zero'];
        // That it was only too slow to open the door says nothing of the door.
        if (['suite', 'login', 'silent'].includes(failureIn(`${done.stdout}\n${done.stderr}`))) break;
      }
      return [];
    },
  };
}
