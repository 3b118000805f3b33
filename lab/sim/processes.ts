/** Simulated nodes in processes of their own, so that an orchestrator's CPU time and memory are its own alone. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Fault } from './fault.ts';
import type { Deed, SimTimes } from './node.ts';

export type SimStart = {
  kind: 'start';
  /** The data folder with the embedded Redis. */
  root: string;
  first: number;
  count: number;
  port: number;
  sites: readonly string[];
  version: string;
  clientPub: string;
  /** PEM of the key that signs orders. */
  orderPub: string;
  times?: Partial<SimTimes>;
  faults?: { seed: number; share: number; version: string; kinds?: readonly Fault[] };
  https?: { keys: string; every: number };
  /** Behind real sshds instead of our own SSH servers: the folder where `sshd-door.ts` finds each one's. */
  sshds?: string;
};
export type SimOrder = SimStart | { kind: 'facts' } | { kind: 'end' };

export type SimNodeFacts = {
  number: number;
  id: string;
  running: string;
  up: boolean;
  lastGood: string;
  hasLastGood: boolean;
  deeds: Deed[];
};
/** `cpu` in milliseconds and `beats` since its start; `rss` in bytes. */
export type SimFacts = { nodes: SimNodeFacts[]; beats: number; cpu: number; rss: number };
export type SimAnswer =
  | { kind: 'ready'; port: number }
  | { kind: 'facts'; facts: SimFacts }
  | { kind: 'failed'; reason: string };

export type SimProcesses = {
  readonly port: number;
  readonly pids: readonly number[];
  /** Facts of all of them together. */
  facts(): Promise<SimFacts>;
  close(): Promise<void>;
};

const PROGRAM = fileURLToPath(new URL('./program.ts', import.meta.url));

/** Nodes in one process at the most: each takes a listener and up to two connections, and descriptors end at 20,000. */
const PER_PROCESS = 5_000;

/** @param options of the whole fleet, from node 0 on; `processes` as many as it takes by default */
export async function startSimProcesses(
  options: Omit<SimStart, 'kind' | 'first' | 'port'> & { processes?: number },
): Promise<SimProcesses> {
  const children: ChildProcess[] = [];
  const close = async () => {
    await Promise.all(children.map(ended));
  };
  let port = 0;
  try {
    const { processes = Math.ceil(options.count / PER_PROCESS), ...rest } = options;
    const share = Math.ceil(options.count / processes);
    const starts: (() => Promise<void>)[] = [];
    for (let first = 0; first < options.count; first += share) {
      const child = fork(PROGRAM, [], { execArgv: ['--disable-warning=ExperimentalWarning'] });
      children.push(child);
      const count = Math.min(share, options.count - first);
      starts.push(async () => {
        const answer = await ask(child, { ...rest, kind: 'start', first, count, port });
        if (answer.kind === 'ready') port = answer.port;
      });
    }
    // The first one finds the port for all.
    await starts[0]?.();
    await Promise.all(starts.slice(1).map((start) => start()));
  } catch (error) {
    await close();
    throw error;
  }
  return {
    port,
    pids: children.map((child) => child.pid ?? 0),
    async facts() {
      const all: SimFacts = { nodes: [], beats: 0, cpu: 0, rss: 0 };
      for (const child of children) {
        const answer = await ask(child, { kind: 'facts' });
        if (answer.kind !== 'facts') continue;
        all.nodes.push(...answer.facts.nodes);
        all.beats += answer.facts.beats;
        all.cpu += answer.facts.cpu;
        all.rss += answer.facts.rss;
      }
      return all;
    },
    close,
  };
}

function ask(child: ChildProcess, order: SimOrder): Promise<SimAnswer> {
  return new Promise((resolve, reject) => {
    const gone = (code: number | null) => reject(new Error(`the simulated nodes ended with ${code}`));
    child.once('exit', gone);
    child.once('message', (answer: SimAnswer) => {
      child.off('exit', gone);
      if (answer.kind === 'failed') reject(new Error(answer.reason));
      else resolve(answer);
    });
    child.send(order);
  });
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  if (child.connected) child.send({ kind: 'end' } satisfies SimOrder);
  else child.kill('SIGKILL');
  await gone;
}
