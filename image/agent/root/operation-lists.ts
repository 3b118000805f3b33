/** The closed lists of what root does for the agent, one per unit: each unit has only the rights that its list needs. */
import { mustRun } from '../../../base/run.ts';
import { configRequest } from '../../../protocol/agent/config.ts';
import { diskRequest } from '../../../protocol/agent/disk.ts';
import { journalRequest } from '../../../protocol/agent/journal.ts';
import { helperRequest } from '../../../protocol/agent/machine.ts';
import { DOWNLOADS } from '../../../protocol/agent/places.ts';
import { rescueRequest } from '../../../protocol/agent/rescue.ts';
import { smartRequest } from '../../../protocol/agent/smart.ts';
import { wipeRequest } from '../../../protocol/agent/wipe.ts';
import { CONFIG_OPERATIONS, CONFIG_PLACES } from './config/operations.ts';
import { alone } from './disk/alone.ts';
import { noteEsp } from './disk/esp-place.ts';
import { readDisks } from './disk/facts.ts';
import { DISK_OPERATIONS, type DiskPlaces } from './disk/operations.ts';
import { SMART_OPERATIONS } from './disk/smart.ts';
import { StateKeeper } from './disk/state-keeper.ts';
import { letGoOfDisks, WIPE_OPERATIONS } from './disk/wipe/operations.ts';
import { JOURNAL_OPERATIONS } from './journal/read.ts';
import { type HelperPlaces, installedEsp, OPERATIONS, pendingLists } from './operations.ts';
import { orderInForce } from './orders/take.ts';
import { RESCUE_OPERATIONS } from './rescue/looks.ts';
import { type HelperList, list } from './serve.ts';

const EFIVARS = '/sys/firmware/efi/efivars';
const FLEET = '/usr/lib/bootwave/fleet';
const RUN = '/run/bootwave';

import { SPACE } from './services/space.ts';

const machine: HelperPlaces = {
  sys: '/sys',
  efivars: EFIVARS,
  fleet: FLEET,
  run: RUN,
  environment: process.env,
  async setClock(time) {
    await mustRun('date', ['--utc', '--set', `@${(time / 1000).toFixed(3)}`], { timeout: 20_000 });
  },
};
const state = new StateKeeper(machine);
const disks: DiskPlaces = {
  readDisks,
  downloads: DOWNLOADS,
  mount: `${RUN}/esp`,
  loader: `${FLEET}/systemd-bootx64.efi`,
  efivars: EFIVARS,
  osRelease: '/etc/os-release',
  order: () => orderInForce({ fleet: FLEET, run: RUN, now: Date.now }),
  blessed: `${RUN}/blessed`,
  loaderRenewed: `${RUN}/loader-renewed`,
  diskless: `${RUN}/diskless`,
  share: SPACE,
  noteEsp: (esp) => noteEsp(esp, installedEsp(RUN)),
  mountState: (device) => state.mount(device),
  renewSeal: (device) => state.renew(device),
  lists: (device) => ({
    efivars: EFIVARS,
    generation: `${FLEET}/secure-boot-generation`,
    pending: pendingLists(RUN),
    prepareState: (lists, signers) => state.prepareFor(device, lists, signers),
  }),
};

/** If two ran at once, the second would find the disk half changed. */
const inTurn = ({ request, perform }: HelperList): HelperList => ({
  request,
  perform: (asked) => alone('bootwave-disk', () => perform(asked)),
});

/** By the name in the unit's command line. */
export const HELPER_LISTS: Readonly<Record<string, HelperList>> = {
  /** bootwave-helper@.service: firmware variables, TPM, SMBIOS; no disk. */
  machine: list(helperRequest, OPERATIONS, machine),
  /** bootwave-disk@.service: disks and mounts; of the TPM only what opens the state. */
  disk: inTurn(list(diskRequest, DISK_OPERATIONS, disks)),
  /** bootwave-smart@.service: asks disks how they are. */
  smart: list(smartRequest, SMART_OPERATIONS, { readDisks, smartctl: 'smartctl', sys: '/sys' }),
  /** bootwave-wipe@.service: disks, for as long as it takes, and no TPM. */
  wipe: inTurn(
    list(wipeRequest, WIPE_OPERATIONS, { ...disks, readDisks: () => readDisks(), letGo: letGoOfDisks }),
  ),
  /** bootwave-config@.service: kernel parameters and drop-ins below /run. */
  config: list(configRequest, CONFIG_OPERATIONS, CONFIG_PLACES),
  /** bootwave-journal@.service: not as root; reads the journal. */
  journal: list(journalRequest, JOURNAL_OPERATIONS, { command: ['journalctl'], now: Date.now }),
  /** bootwave-rescue@.service: reads, and not for the agent. */
  rescue: list(rescueRequest, RESCUE_OPERATIONS, {
    ...{ order: disks.order, readDisks: () => readDisks(), proc: '/proc', sys: '/sys', now: Date.now },
  }),
};
