/**
 * A BMC (baseboard management controller) as Bootwave uses it, whatever it speaks. What it says proves nothing about the
 * machine: `act.ts` asks it what became of an action, and `seen.ts` waits for the node itself.
 */
import type { Readable } from 'node:stream';
import { BootwaveError } from '../../base/error.ts';

export const KINDS = ['ipmi', 'redfish'] as const;
export type Kind = (typeof KINDS)[number];

/** off pulls the plug; reset leaves the power on; cycle is off and on. */
export const ACTIONS = ['on', 'off', 'cycle', 'reset'] as const;
export type PowerAction = (typeof ACTIONS)[number];
export type Power = 'on' | 'off';

/** How a BMC is reached: decided by a person, kept encrypted (book.ts). */
export type Access = {
  kind: Kind;
  /** An IP address. */
  host: string;
  port: number;
  user: string;
  password: string;
  /** Redfish: SHA-256 of its certificate (DER), hex. */
  pin: string | null;
  /** IPMI: the cipher suite that it is spoken to with; null: not known yet (17, and 3 where it has no 17). */
  suite: Suite | null;
  /** Of its console by SSH: SHA-256 of the host key that it showed first, hex. Absent: nobody sat there yet. */
  hostKey?: string | undefined;
};

/** 17: HMAC-SHA256, AES-128; 3: HMAC-SHA1, AES-128 (IPMI 2.0, table 22-20). Suite 0 asks for no password at all. */
export const SUITES = [17, 3] as const;
export type Suite = (typeof SUITES)[number];

export const PORTS: Record<Kind, number> = { ipmi: 623, redfish: 443 };

/** Which machine a BMC says that it belongs to. UUIDs in lower case, in each byte order in which BMCs write them. */
export type Claim = { uuids: readonly string[]; serial: string | null };

export type Bmc = {
  power(): Promise<Power>;
  uuids(): Promise<readonly string[]>;
  /** Asked only where the UUIDs do not decide: with IPMI it may take seconds. */
  serial(): Promise<string | null>;
  act(action: PowerAction): Promise<void>;
  /**
   * The next boot only, from the network; read back.
   * @throws BootwaveError `BMC_NEXT`: it did not keep it
   */
  nextFromNetwork(firmware: 'uefi' | 'bios'): Promise<void>;
  /**
   * Takes that back, also where the signal of the rest has aborted: within `LIMITS.takeBack`; read back.
   * @throws BootwaveError `BMC_NEXT`: it did not take it back
   */
  nextAsUsual(): Promise<void>;
  /** What is wrong with it however well it works: for people. Harmless. */
  holes(): Promise<readonly Hole[]>;
  /** IPMI: the cipher suite that worked. */
  readonly suite: Suite | null;
  /** Settings of the machine's firmware; null: it offers none. */
  readonly firmware: Firmware | null;
  /**
   * The machine's serial port, for as long as the signal says: it outlives the turn in which it was opened.
   * @param take ends the session that somebody else has
   * @throws BootwaveError `BMC_LACKS`, `CONSOLE_TAKEN`
   */
  console(until: AbortSignal, take: boolean): Promise<SerialLine>;
};

export type SerialLine = {
  output: Readable;
  /** Resolves when it has room for more. */
  type(bytes: Uint8Array): Promise<void>;
  /** Why it was over, for people. */
  ended: Promise<string>;
  /** By SSH: SHA-256 of the host key that it showed, hex. */
  hostKey?: string;
  /** Resolves when the BMC has its session back, or was asked for that in vain. */
  close(): Promise<void>;
};

/** `cipher-zero`: it takes any password. */
export type Hole = 'cipher-zero';

export type FirmwareShown = {
  /** Null: it does not say. */
  secureBoot: { enabled: boolean; mode: string; canSetUp: boolean } | null;
  /** In the order in which they are tried; null: it does not say. */
  bootOrder: readonly { reference: string; name: string }[] | null;
  /** Undefined: it has no such setting. */
  httpBootUri?: string | undefined;
};

export type Firmware = {
  show(): Promise<FirmwareShown>;
  /** The machine leaves Secure Boot's user mode at its next start: whatever boots first then enrols its keys. */
  secureBootSetup(): Promise<void>;
  /** @param references all that there are, in their new order */
  bootOrder(references: readonly string[]): Promise<void>;
  httpBootUri(uri: string): Promise<void>;
};

/** Bounds on what a BMC can cost, however it behaves. */
export const LIMITS = {
  /** Milliseconds for one question, its answer included. */
  question: 10_000,
  /** Milliseconds until a next boot from the network is as usual again, with all its questions. */
  takeBack: 20_000,
  /** Characters of an answer. */
  answer: 1024 * 1024,
  /** Systems of one Redfish service that are looked at: a chassis of blades has up to 16. */
  systems: 64,
} as const;

/** Why a BMC did not do it. `BMC_SILENT`, `BMC_LOGIN` and `BMC_PIN` are the ones that people mend differently. */
export function bmcError(code: string, what: string, next: string, cause?: unknown): BootwaveError {
  return new BootwaveError({
    code,
    what,
    unchanged: 'it was told nothing that it has confirmed',
    next,
    cause,
  });
}

export const silent = (host: string, cause?: unknown): BootwaveError =>
  bmcError(
    'BMC_SILENT',
    `the BMC at ${host} does not answer`,
    'is it powered and on the management network, and may this machine reach its port?',
    cause,
  );

export const badLogin = (host: string): BootwaveError =>
  bmcError(
    'BMC_LOGIN',
    `the BMC at ${host} does not take this user and password`,
    "give it the ones that it has: 'bootwave node bmc set'",
  );

export const brokeOff = (host: string, cause: unknown): BootwaveError =>
  bmcError(
    'BMC_SILENT',
    `the BMC at ${host} broke off in the middle of its answer`,
    'it may be restarting: look again in a minute',
    cause,
  );

/** A clear no: it was not done. */
export const refused = (host: string, what: string): BootwaveError =>
  bmcError(
    'BMC_REFUSED',
    `the BMC at ${host} refused ${what}`,
    'may its user do that? Its own page says more',
  );

export const lostNext = (host: string): BootwaveError =>
  bmcError(
    'BMC_NEXT',
    `the BMC at ${host} said yes, and does not keep that the next boot is from the network`,
    'set the boot order of the machine itself to the network first',
  );

export const keptNext = (host: string): BootwaveError =>
  bmcError(
    'BMC_NEXT',
    `the BMC at ${host} said yes, and its next boot is from the network still`,
    'set its next boot by its own page',
  );

/** Whether it was done is not known. */
export const badAnswer = (host: string, what: string): BootwaveError =>
  bmcError(
    'BMC_ANSWER',
    `the BMC at ${host} ${what}`,
    'look at it with its own page; newer firmware may help',
  );
