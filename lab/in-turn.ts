/**
 * Switching nodes on one after the other: two emulated machines booting at once on two cores take longer than that.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab } from './lab.ts';
import { statOf } from './process.ts';

/** Each but the last one must have settled before the next one gets power. */
export async function powerOnInTurn(lab: Lab, names: readonly string[], signal: AbortSignal): Promise<void> {
  for (const [i, name] of names.entries()) {
    await lab.powerOn(name);
    if (i < names.length - 1) await settled(lab, name, signal);
  }
}

/** Waits until a node no longer works hard (under 30 % of a core for 3 seconds) or is off; 2 minutes at most. */
async function settled(lab: Lab, name: string, signal: AbortSignal): Promise<void> {
  const ticksIn3s = 3 * 100 * 0.3;
  const end = performance.now() + 120_000;
  while (performance.now() < end) {
    const power = await lab.node(name).power();
    if (!power.on) return;
    const before = statOf(power.qemu.pid)?.cpuTicks ?? 0;
    await sleep(3000, undefined, { signal });
    if ((statOf(power.qemu.pid)?.cpuTicks ?? 0) - before < ticksIn3s) return;
  }
}
