/** One node: its files, its TPM, its power. Any process may drive it; a lock lets one at a time. */
import { chmod, copyFile, mkdir, open, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { defined } from '../base/defined.ts';
import { BootwaveError } from '../base/error.ts';
import { exists, sizeOf } from '../base/files.ts';
import { mustRun } from '../base/run.ts';
import { complaints, type End, endOf } from './end.ts';
import { withLock } from './lock.ts';
import {
  type Accelerator,
  BLANK_BYTES,
  type NodeFiles,
  nodeFiles,
  PLAIN_PXE_SCRIPT,
  type PowerOverrides,
  qemuArguments,
  tpmArguments,
  VARS_TEMPLATE,
} from './machine.ts';
import { loaded, memoryFile, writeMemory } from './memory.ts';
import { inNamespaceArguments } from './namespace.ts';
import { isAlive, type ProcessId, startDetached, stopProcess } from './process.ts';
import { Qmp } from './qmp.ts';
import type { LabNode } from './spec.ts';
import { nodeFolder, type PowerRecord, type PowerShape, readPower, writePower } from './state.ts';

export type NodePower =
  | ({ on: true } & PowerRecord)
  /** `never-on` until the first power-on. */
  | { on: false; why: End | 'never-on' };

export class PoweredNode {
  readonly spec: LabNode;
  readonly files: NodeFiles;
  readonly #namespace: string;
  readonly #accelerator: Accelerator;

  constructor(labFolder: string, namespace: string, accelerator: Accelerator, spec: LabNode) {
    this.spec = spec;
    this.files = nodeFiles(nodeFolder(labFolder, spec.name));
    this.#namespace = namespace;
    this.#accelerator = accelerator;
  }

  /**
   * Makes what the node keeps over its power cycles: blank disk, UEFI variables in setup mode, TPM.
   * @param from a folder with all that, as `saveTo` wrote it
   */
  async install(from?: string): Promise<void> {
    const { folder, disk, vars, tpmState, plainPxe } = this.files;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    if (from !== undefined) return copySome(from, KEPT, folder);
    await (await open(disk, 'a', 0o600)).close();
    await truncate(disk, this.spec.diskGiB * 2 ** 30);
    if (this.spec.firmware === 'bios') {
      await writeFile(plainPxe, PLAIN_PXE_SCRIPT);
    } else if (!(await exists(vars))) {
      await copyVars(VARS_TEMPLATE, vars);
    }
    if (this.spec.tpm && !(await exists(tpmState))) {
      await mkdir(tpmState, { mode: 0o700 });
      // One PCR bank, as servers are delivered: firmware hashes a whole image once for every bank.
      await mustRun('swtpm_setup', ['--tpm2', '--tpm-state', tpmState, '--pcr-banks', 'sha256']);
    }
  }

  async power(): Promise<NodePower> {
    const record = await readPower(this.files.power);
    if (record === undefined) return { on: false, why: 'never-on' };
    if (isAlive(record.qemu)) return { on: true, ...record };
    return { on: false, why: await this.endOf(record) };
  }

  /** Where the last power-on's output begins in the console log, bytes; 0 when there was none. */
  async lastConsoleFrom(): Promise<number> {
    return (await readPower(this.files.power))?.consoleFrom ?? 0;
  }

  /** @throws BootwaveError `LAB_NODE_ON`, `LAB_QEMU`, `LAB_TPM`, `LAB_SPEC` */
  on(overrides: PowerOverrides, signal?: AbortSignal): Promise<PowerRecord> {
    return withLock(this.files.lock, () => this.#on(overrides, signal));
  }

  /** As pulling the plug: the guest is not asked. Off already is no error. */
  async off(): Promise<void> {
    // A lab whose making was interrupted has nodes without a folder.
    if (await exists(this.files.folder)) await withLock(this.files.lock, () => this.#off());
  }

  async #off(): Promise<void> {
    const record = await readPower(this.files.power);
    if (record === undefined) return;
    await stopProcess(record.qemu, 5000);
    if (record.tpm !== undefined) await stopProcess(record.tpm, 2000);
  }

  async #on(overrides: PowerOverrides, signal?: AbortSignal): Promise<PowerRecord> {
    const { files, spec } = this;
    if ((await this.power()).on) {
      throw new BootwaveError({ code: 'LAB_NODE_ON', what: `node ${spec.name} is on already` });
    }
    if (overrides.vars !== undefined && spec.firmware === 'bios') {
      throw new BootwaveError({ code: 'LAB_SPEC', what: `node ${spec.name}: a BIOS has no UEFI variables` });
    }
    // What a killed QEMU left: a TPM process that nobody uses, and sockets that nobody serves.
    await this.#off();
    const { console, qmp, events, tpmSocket } = files;
    for (const socket of [console, qmp, events, tpmSocket]) await rm(socket, { force: true });
    if (overrides.vars !== undefined) await copyVars(overrides.vars, files.vars);
    await (await open(files.blank, 'a', 0o600)).close();
    await truncate(files.blank, BLANK_BYTES);
    signal?.throwIfAborted();

    const tpm = spec.tpm ? await this.#startTpm() : undefined;
    const [consoleFrom, logFrom] = [await sizeOf(files.consoleLog), await sizeOf(files.qemuLog)];
    const qemu = await startDetached(
      'ip',
      inNamespaceArguments(
        this.#namespace,
        'qemu-system-x86_64',
        qemuArguments(spec, files, this.#accelerator, overrides),
      ),
      files.qemuLog,
    );
    const record: PowerRecord = {
      qemu: qemu.id,
      consoleFrom,
      logFrom,
      since: Date.now(),
      shape: shapeOf(overrides),
      ...(tpm === undefined ? {} : { tpm }),
    };
    await writePower(files.power, record);
    try {
      while (!(await exists(files.events)) && isAlive(qemu.id)) await sleep(10);
      const qmp = await Qmp.connect(files.qmp);
      await loaded(qmp).finally(() => qmp.close());
    } catch (cause) {
      await this.#off();
      // A machine may be done before anyone could ask: that is its own doing, not a failure to start.
      if ((await this.endOf(record)) === 'powered-itself-off') return record;
      throw new BootwaveError({
        code: 'LAB_QEMU',
        what: `node ${spec.name} did not switch on: ${complaints(await this.#log(logFrom))
          .slice(-3)
          .join('; ')}`,
        cause,
      });
    }
    return record;
  }

  /** Nothing moves in the machine until `thaw`, and its disk holds all that it wrote. */
  freeze(): Promise<unknown> {
    return this.#tell((qmp) => qmp.execute('stop'));
  }

  thaw(): Promise<unknown> {
    return this.#tell((qmp) => qmp.execute('cont'));
  }

  /**
   * Copies all that the node is: what it keeps, and what it has in memory where it is on. It must be frozen then.
   * @returns how it was switched on; null where it is off
   * @throws BootwaveError `LAB_QMP`
   */
  async saveTo(folder: string): Promise<PowerShape | null> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const power = await this.power();
    if (power.on) await this.#tell((qmp) => writeMemory(qmp, memoryFile(folder)));
    await copySome(this.files.folder, KEPT, folder);
    return power.on ? power.shape : null;
  }

  async #tell<T>(say: (qmp: Qmp) => Promise<T>): Promise<T> {
    const qmp = await Qmp.connect(this.files.qmp);
    return await say(qmp).finally(() => qmp.close());
  }

  async #startTpm(): Promise<ProcessId> {
    const { files } = this;
    const args = inNamespaceArguments(this.#namespace, 'swtpm', tpmArguments(files));
    const { id } = await startDetached('ip', args, files.tpmLog);
    while (isAlive(id)) {
      if (await exists(files.tpmSocket)) return id;
      await sleep(5);
    }
    const words = (await readFile(files.tpmLog, 'utf8').catch(() => '')).trim().split('\n').slice(-2);
    throw new BootwaveError({
      code: 'LAB_TPM',
      what: `the TPM of node ${this.spec.name} did not start: ${words.join('; ')}`,
    });
  }

  /** Why a power-on ended that has ended. */
  async endOf(record: PowerRecord): Promise<End> {
    return endOf(await this.#log(record.logFrom));
  }

  async #log(from: number): Promise<string> {
    const bytes = await readFile(this.files.qemuLog).catch(() => Buffer.alloc(0));
    return bytes.subarray(from).toString('utf8');
  }
}

/** Of a node's folder, what outlives its QEMU; the console's log tells how the machine came to be what it is. */
const KEPT = ['disk.raw', 'vars.fd', 'tpm', 'plain-pxe.ipxe', 'console.log'];

async function copySome(from: string, names: readonly string[], to: string): Promise<void> {
  for (const name of names) {
    if (await exists(join(from, name))) await mustRun('cp', ['-a', '--reflink=auto', join(from, name), to]);
  }
}

function shapeOf({ boot, kernel, memoryMiB, extraArgs }: PowerOverrides): PowerShape {
  return defined({ boot, kernel, memoryMiB, extraArgs: extraArgs && [...extraArgs] });
}

/** Debian ships its template read-only for all but root; the copy is the node's to write. */
async function copyVars(from: string, to: string): Promise<void> {
  await copyFile(from, to);
  await chmod(to, 0o600);
}
