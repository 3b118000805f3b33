/** What a node's console and the boot server tell, as steps of one story that a person can follow. Pure. */
import type { BootStep } from '../../bootserver/directory.ts';

export type Step = { fraction: number; text: string };

/** By what the boot server saw. A second boot (after Secure Boot was set up) starts from the front again. */
export const SEEN: Partial<Record<BootStep, Step>> = {
  'dhcp-offered': { fraction: 0.1, text: 'firmware asked the network who serves it' },
  'loader-sent': { fraction: 0.15, text: 'took the signed boot loader (iPXE) over TFTP' },
  'script-sent': { fraction: 0.2, text: 'boot loader asked what to start' },
  'image-started': { fraction: 0.25, text: 'takes the signed image over HTTP' },
  'image-sent': { fraction: 0.5, text: 'has the whole image; firmware checks, measures and starts it' },
};

/** By the agent's own marker lines on the console. */
export const STATES: Record<string, Step> = {
  starting: { fraction: 0.7, text: 'Linux runs, the agent looks at the machine' },
  'secure-boot-enrolling': {
    fraction: 0.05,
    text: `Secure Boot was in setup mode: it takes the fleet's keys and restarts`,
  },
  searching: { fraction: 0.75, text: 'looks for its boot server' },
  enrolling: { fraction: 0.8, text: 'proves who it is (TPM quote over its new keys)' },
  pending: { fraction: 0.85, text: 'waits for a person who compares four words' },
  approved: { fraction: 0.95, text: 'has its certificate' },
  healthy: { fraction: 1, text: 'healthy: a member of the fleet' },
  rejected: { fraction: 1, text: 'was rejected' },
  'server-lost': { fraction: 0.8, text: 'lost the boot server and keeps trying' },
};

/** The last marker in console text, and the words if they are shown. */
export function readMarkers(text: string): { states: string[]; words: string[] | undefined } {
  const states = [...text.matchAll(/^bootwave: state ([a-z-]+)$/gm)].map((match) => match[1] ?? '');
  const words = [...text.matchAll(/^bootwave: words ([a-z]+ [a-z]+ [a-z]+ [a-z]+)$/gm)]
    .at(-1)?.[1]
    ?.split(' ');
  return { states, words };
}
