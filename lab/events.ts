/** What happens in a lab, as data and in plain words. */
import type { End } from './end.ts';
import type { QmpEvent } from './qmp.ts';

export type LabEvent =
  | { kind: 'made'; lab: string; namespace: string; nodes: number; accelerator: 'kvm' | 'tcg' }
  | { kind: 'on'; node: string }
  | { kind: 'off'; node: string; why: End }
  /** The machine started again without losing power. */
  | { kind: 'reset'; node: string; by: 'guest' | 'operator' }
  | { kind: 'watchdog'; node: string }
  | { kind: 'panic'; node: string }
  | { kind: 'service-on'; service: string; pid: number }
  | { kind: 'service-off'; service: string; code: number | null; signal: string | null }
  | { kind: 'down'; lab: string };

/** Pure: QEMU's event as ours, if it is one that a person at the rack would notice. */
export function fromQmp(node: string, { event, data }: QmpEvent): LabEvent | undefined {
  if (event === 'RESET') return { kind: 'reset', node, by: data.guest === true ? 'guest' : 'operator' };
  if (event === 'WATCHDOG') return { kind: 'watchdog', node };
  if (event === 'GUEST_PANICKED') return { kind: 'panic', node };
  return undefined;
}

const ENDS: Record<End, string> = {
  'powered-itself-off': 'switched itself off',
  'switched-off': 'was switched off',
  'guest-panic': 'stopped: its kernel panicked',
  crashed: 'crashed: its QEMU is gone without a word',
};

export function inWords(event: LabEvent): string {
  switch (event.kind) {
    case 'made':
      return `Lab ${event.lab}: ${event.nodes === 1 ? 'one node' : `${event.nodes} nodes`} on a private network (namespace ${event.namespace}), ${
        event.accelerator === 'kvm' ? 'run by KVM' : 'emulated (no usable KVM here), which is slower'
      }.`;
    case 'on':
      return `${event.node} is switched on.`;
    case 'off':
      return `${event.node} ${ENDS[event.why]}.`;
    case 'reset':
      return `${event.node} ${event.by === 'guest' ? 'restarts by itself' : 'was reset'}.`;
    case 'watchdog':
      return `${event.node}: the watchdog ran out and resets the machine.`;
    case 'panic':
      return `${event.node}: the kernel panicked.`;
    case 'service-on':
      return `${event.service} runs (pid ${event.pid}).`;
    case 'service-off':
      return `${event.service} ended (${event.signal ?? `exit code ${event.code}`}).`;
    case 'down':
      return `Lab ${event.lab} is gone.`;
  }
}
