/** The sealed state of this machine, together with its TPM: what root does with it when asked. */
import { readFile } from 'node:fs/promises';
import { messageOf } from '../../../../base/error.ts';
import { mustRun, run } from '../../../../base/run.ts';
import type { StateMount } from '../../../../protocol/agent/disk.ts';
import { OrderNv } from '../orders/nv.ts';
import { readLoader } from '../release/loader-variables.ts';
import { hasTpm, TpmTools } from '../tpm-tools.ts';
import { isLuks } from './luks.ts';
import { type ListContents, pcr7ToCome, type Signers } from './pcr7-to-come.ts';
import { Seal } from './seal.ts';
import { foretell, renewSeal } from './seals.ts';
import { mountState } from './state.ts';

export type KeeperPlaces = {
  /** Mount point of sysfs. */
  sys: string;
  efivars: string;
  /** Fleet keys inside the image. */
  fleet: string;
  /** `/run/bootwave`. */
  run: string;
  environment: NodeJS.ProcessEnv;
};

const TOOLS = { run, mustRun };

export class StateKeeper {
  readonly #places: KeeperPlaces;
  readonly #tools: TpmTools;

  constructor(places: KeeperPlaces) {
    this.#places = places;
    this.#tools = new TpmTools(`${places.run}/seal`, places.environment);
  }

  /** @param device state partition of a finished installation @throws BootwaveError `COMMAND_FAILED` */
  async mount(device: string): Promise<StateMount> {
    const { run: folder, efivars } = this.#places;
    const { counted } = await readLoader(efivars);
    return mountState(device, {
      seal: await this.#seal(),
      // While an image is on trial, the one before it must be able to open the state, too.
      floor: counted === null ? await this.#floor() : null,
      trial: counted !== null,
      link: `${folder}/state-device`,
      mount: `${folder}/state`,
    });
  }

  /**
   * The running image is good: state that only older images than the node's floor could open is sealed again. Never
   * throws.
   */
  async renew(device: string): Promise<void> {
    try {
      const seal = await this.#seal();
      if (seal === null || !(await isLuks(device, TOOLS))) return;
      const why = await renewSeal(device, seal, await this.#floor(), TOOLS);
      if (why !== null) console.error(`bootwave-helper: the state was sealed anew: ${why}`);
    } catch (error) {
      console.error(`bootwave-helper: the state was not sealed anew: ${messageOf(error)}`);
    }
  }

  /**
   * Makes sure that the state opens after a start with other Secure Boot lists, or of an image that another key signed.
   * @param signers absent: the same as now
   * @returns why it will not open, and will be made again then; empty when it will. It is a cache: no reason to keep
   * lists from the firmware
   */
  async prepareFor(device: string, lists: ListContents, signers?: Signers): Promise<string> {
    const seal = await this.#seal();
    if (seal === null || !(await isLuks(device, TOOLS))) return '';
    const log = await readFile(`${this.#places.sys}/kernel/security/tpm0/binary_bios_measurements`).catch(
      () => null,
    );
    if (log === null) return 'its firmware keeps no event log';
    const then = pcr7ToCome(log, await seal.pcr7().catch(() => ''), lists, signers);
    if (then === null) return 'its event log does not tell what PCR 7 will be';
    return foretell(device, seal, then, TOOLS).then(() => '', messageOf);
  }

  async #seal(): Promise<Seal | null> {
    const { sys, environment, fleet } = this.#places;
    return (await hasTpm(sys, environment)) ? new Seal(this.#tools, fleet) : null;
  }

  /** Without an answer of the TPM there is no floor to seal to. */
  async #floor(): Promise<string | null> {
    const { sys, environment } = this.#places;
    if (!(await hasTpm(sys, environment))) return null;
    const read = await new OrderNv(environment).read().catch(() => null);
    return read?.state === 'kept' ? read.memory.floor : null;
  }
}
