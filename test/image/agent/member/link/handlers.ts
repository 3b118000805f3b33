import type { LinkHandlers } from '../../../../../image/agent/member/link/handlers.ts';
import type { Flows } from '../../../../../protocol/link/flows.ts';
import { LINK_VERSION, type Status } from '../../../../../protocol/link/messages.ts';
import type { Usage } from '../../../../../protocol/link/usage.ts';

export const BOOT = '0e9f5d3e-6a9b-4a2b-8c3a-1d2e3f405162';
export const RUNNING = { version: '1.0', kernel: '6.1.0', bootId: BOOT, pcr11: null };

export function statusOf(node: string): Status {
  return {
    node,
    running: RUNNING,
    mode: 'installed',
    state: 'idle',
    order: null,
    slots: [
      {
        version: '1.0',
        file: 'bootwave_1.0.efi',
        state: 'good',
        triesLeft: null,
        triesDone: null,
        booted: true,
        reason: '',
      },
    ],
    staging: null,
    refused: [],
    health: { healthy: true, reason: '' },
  };
}

/** What such a node uses. */
export const usageOf = (more: Partial<Usage> = {}): Usage => ({
  ...{ bootId: BOOT, at: 60_000, processors: 4, cpu: 12_000 },
  memory: { total: 2 ** 33, available: 2 ** 32 },
  disk: { read: 1000, written: 2000 },
  network: { received: 3000, sent: 4000 },
  services: [],
  ...more,
});

/** What such a node says that its services have sent. */
export const flowsOf = (more: Partial<Flows> = {}): Flows => ({
  ...{ life: 'first', number: 1, from: 0, until: 60_000, at: 60_000, more: false, instances: [], flows: [] },
  ...more,
});

/** A node that stands still at epoch 3 and says yes; tests replace what they are about. */
export function handlersOf(node: string, own: Partial<LinkHandlers> = {}): LinkHandlers {
  return {
    fence: () => ({ epoch: 3, bootId: BOOT }),
    hello: () => ({ version: LINK_VERSION, node, running: RUNNING, epoch: 3, state: 'idle' }),
    status: () => statusOf(node),
    order: () => ({ epoch: 3, digest: 'a'.repeat(64), accepted: 'same' }),
    stage: () => ({ version: '1.1', file: 'bootwave_1.1+3.efi', already: false }),
    activate: () => ({ restarting: true }),
    cancel: () => ({ cancelled: false }),
    mirrors: () => ({}),
    forgive: () => ({ forgiven: [] }),
    restart: () => ({ restarting: true }),
    config: () => ({ digest: null }),
    usage: () => usageOf(),
    flows: () => flowsOf(),
    logs: () => ({ lines: [], more: false }),
    exec: () => ({ session: 'a'.repeat(32) }),
    'exec-read': () => ({ bytes: '', ended: true }),
    'exec-write': () => ({}),
    ...own,
  };
}

export const quiet = { info: () => {}, warn: () => {} };
