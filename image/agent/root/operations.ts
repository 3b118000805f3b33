import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../../base/error.ts';
import { exists } from '../../../base/files.ts';
import { mustRun, run } from '../../../base/run.ts';
import { EVENT_LOG_LIMITS } from '../../../formats/efi/event-log.ts';
import { parseTpmPublic } from '../../../formats/tpm/public.ts';
import {
  CLOCK_OFF,
  type HelperQuote,
  type HelperRequest,
  type HelperResults,
  type Smbios,
} from '../../../protocol/agent/machine.ts';
import type { Inventory } from '../../../protocol/enrolment/inventory.ts';
import { deviceNodeId, tpmNodeId } from '../../../protocol/enrolment/node-id.ts';
import { setBootOrder } from './boot-order.ts';
import { alone } from './disk/alone.ts';
import { hostKeyOfThisBoot } from './host-key.ts';
import { readNics } from './nics.ts';
import { OrderNv } from './orders/nv.ts';
import {
  noteNode,
  orderInForce,
  remembered,
  signedInForce,
  type TakePlaces,
  takeOrder,
} from './orders/take.ts';
import { enrolSecureBoot, renewDbx, secureBootState, writeLists } from './secure-boot.ts';
import { verifyTime } from './server-time.ts';
import { askSecrets, type ExchangePlaces, takeSecrets } from './services/secrets-exchange.ts';
import { isServiceUnit } from './services/units.ts';
import { readSmbios } from './smbios.ts';
import { Tpm } from './tpm.ts';
import { hasTpm } from './tpm-tools.ts';

/** Where the helper works; tests put other places and a software TPM here. */
export type HelperPlaces = {
  /** Mount point of sysfs. */
  sys: string;
  /** Mount point of efivarfs. */
  efivars: string;
  /** Fleet keys inside the image. */
  fleet: string;
  /** `/run/bootwave`: tmpfs, gone at the next boot. */
  run: string;
  environment: NodeJS.ProcessEnv;
  /** Sets the clock of the machine; absent in tests, whose machine is somebody's. @param time milliseconds since the epoch */
  setClock?(time: number): Promise<void>;
  /** File that is there when NTP has set the clock (systemd-timesyncd.service(8)). */
  synchronised?: string;
};

/** Where one of root's units leaves lists for the other. @param run `/run/bootwave` */
export const pendingLists = (run: string): string => join(run, 'secure-boot');

/** Below `run`; for one answer. */
const CLOCK_NONCE = 'clock-nonce';
const SYNCHRONISED = '/run/systemd/timesync/synchronized';
/** Where the unit for disks leaves word for the one for firmware. @param run `/run/bootwave` */
export const installedEsp = (run: string): string => join(run, 'esp.json');

/** Reads its host key anew for every connection, so starting it once is enough. */
const SSH_UNIT = 'bootwave-sshd.service';

type Operations = {
  [O in HelperRequest['operation']]: (
    request: Extract<HelperRequest, { operation: O }>,
    places: HelperPlaces,
  ) => Promise<HelperResults[O]>;
};

const takePlaces = async (places: HelperPlaces): Promise<TakePlaces> => ({
  ...places,
  nv: (await hasTpm(places.sys, places.environment)) ? new OrderNv(places.environment) : null,
  now: Date.now,
});

/** The node id as the boot server computes it, from what only root can read: orders for another machine are refused. */
function nodeId(smbios: Smbios, nics: Inventory['nics'], ek: Buffer | undefined): string {
  return ek === undefined ? deviceNodeId({ ...smbios, nics }) : tpmNodeId(parseTpmPublic(ek, 'EK'));
}

/** If firmware keeps no log, or one that is too long, the site's policy decides about the machine. */
async function readEventLog(sys: string): Promise<string | null> {
  const log = await readFile(join(sys, 'kernel/security/tpm0/binary_bios_measurements')).catch(() => null);
  return log === null || log.length === 0 || log.length > EVENT_LOG_LIMITS.bytes
    ? null
    : log.toString('base64');
}

const tpmOf = (places: HelperPlaces) => new Tpm(join(places.run, 'tpm'), places.environment);

async function quoteOf(places: HelperPlaces, extraData: Buffer): Promise<HelperQuote> {
  const quote = await tpmOf(places).quote(extraData);
  return {
    attest: quote.attest.toString('base64'),
    signature: quote.signature.toString('base64'),
    pcrs: quote.pcrs,
    eventLog: await readEventLog(places.sys),
  };
}

const exchangePlaces = async (places: HelperPlaces): Promise<ExchangePlaces> => ({
  ...places,
  tpm: (await hasTpm(places.sys, places.environment)) ? tpmOf(places) : null,
  quote: (extraData) => quoteOf(places, extraData),
  order: () => signedInForce({ ...places, now: Date.now }),
  now: Date.now,
});

/** The closed list. Each one can be done twice without harm. */
export const OPERATIONS: Operations = {
  async identify(_, places) {
    const tpm = (await hasTpm(places.sys, places.environment)) ? await tpmOf(places).identify() : null;
    const smbios = await readSmbios(places.sys);
    const nics = await readNics(places.sys);
    await noteNode(places.run, nodeId(smbios, nics, tpm?.ek));
    return {
      smbios,
      nics,
      secureBoot: await secureBootState(places.efivars),
      tpm: tpm && {
        ek: tpm.ek.toString('base64'),
        ekCertificate: tpm.ekCertificate?.toString('base64') ?? null,
        ak: tpm.ak.toString('base64'),
        manufacturer: tpm.manufacturer,
        firmware: tpm.firmware,
      },
      hostKey: await hostKeyOfThisBoot(join(places.run, 'ssh')),
    };
  },

  async activate({ blob, seed }, places) {
    const secret = await tpmOf(places).activate(Buffer.from(blob, 'base64'), Buffer.from(seed, 'base64'));
    return { secret: secret.toString('hex') };
  },

  async quote({ extraData }, places) {
    return quoteOf(places, Buffer.from(extraData, 'hex'));
  },

  async 'take-order'({ envelope }, places) {
    // If two ran at once, both would be compared with the state before either of them.
    return alone('bootwave-orders', async () => {
      const taken = await takeOrder(envelope, await takePlaces(places));
      await followOrder(places);
      return taken;
    });
  },

  async 'order-memory'(_, places) {
    return remembered(await takePlaces(places));
  },

  async 'enrol-secure-boot'(_, places) {
    await enrolSecureBoot(places.efivars, places.fleet);
    await restart();
    return {};
  },

  async 'secure-boot-write'(_, places) {
    return { written: await writeLists(places.efivars, pendingLists(places.run)) };
  },

  async 'secure-boot-renew'(_, { efivars, fleet }) {
    return { written: await renewDbx(efivars, fleet) };
  },

  /** The key of this boot is in place since `identify`; sshd waits for the machine to be a member. */
  async 'install-host-key'(_, places) {
    await hostKeyOfThisBoot(join(places.run, 'ssh'));
    const { code } = await run('systemctl', ['--no-block', 'start', SSH_UNIT], {
      timeout: 20_000,
    });
    return { started: code === 0 };
  },

  /** PID 1 changes the packet filter: nothing that the agent can start may change it otherwise. */
  async admit({ address }) {
    await mustRun('systemctl', ['start', `bootwave-admit@${address}.service`], { timeout: 20_000 });
    return {};
  },

  async 'clock-nonce'(_, { run }) {
    const nonce = randomBytes(32).toString('hex');
    await mkdir(run, { recursive: true });
    await writeFile(join(run, CLOCK_NONCE), nonce, { mode: 0o600 });
    return { nonce };
  },

  async 'set-clock'({ reply }, { run, fleet, setClock, synchronised = SYNCHRONISED }) {
    const file = join(run, CLOCK_NONCE);
    const nonce = await readFile(file, 'utf8').catch(() => '');
    await rm(file, { force: true });
    const time = verifyTime(reply, nonce, await readFile(join(fleet, 'root.crt'), 'utf8'));
    // Several servers of time know better than one.
    if (Math.abs(time - Date.now()) < CLOCK_OFF || (await exists(synchronised))) return { set: false };
    await setClock?.(time);
    return { set: setClock !== undefined };
  },

  async 'secrets-ask'({ name, nonce }, places) {
    return alone('bootwave-secrets', async () =>
      askSecrets(name, Buffer.from(nonce, 'hex'), await exchangePlaces(places)),
    );
  },

  async 'secrets-take'({ name, answer }, places) {
    return alone('bootwave-secrets', async () => takeSecrets(name, answer, await exchangePlaces(places)));
  },

  async 'failed-units'() {
    const options = ['--failed', '--plain', '--no-legend', '--no-pager'];
    const { stdout } = await mustRun('systemctl', ['list-units', ...options], { timeout: 20_000 });
    const units = stdout.split('\n').map((row) => row.trim().split(/\s+/)[0] ?? '');
    // A service that fails is told of by itself; an image is not given up for it.
    return { units: units.filter((unit) => unit !== '' && !isServiceUnit(unit)).slice(0, 16) };
  },

  async restart() {
    await restart();
    return {};
  },
};

/**
 * An order comes before each restart that the fleet asks for, and is read back from the disk after each start: so
 * firmware that lost its variables, with its battery, gets its boot order again. The order is accepted even when the
 * firmware refuses.
 */
async function followOrder({ fleet, run, efivars }: HelperPlaces): Promise<void> {
  try {
    const { mode } = await orderInForce({ fleet, run, now: Date.now });
    if (await setBootOrder(mode, { efivars, esp: installedEsp(run) }))
      console.error(
        `bootwave-helper: the firmware starts from the ${mode === 'installed' ? 'disk' : 'network'} first`,
      );
  } catch (error) {
    console.error(`bootwave-helper: the firmware was not told what to start first: ${messageOf(error)}`);
  }
}

async function restart(): Promise<void> {
  await mustRun('systemctl', ['--no-block', 'reboot'], { timeout: 20_000 });
}
