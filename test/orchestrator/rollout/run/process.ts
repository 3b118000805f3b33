/** Orchestrators in processes of their own, for tests that kill them. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { ExecutionContext } from 'ava';
import type { Bench } from './support.ts';

const PROGRAM = fileURLToPath(new URL('./orchestrator.ts', import.meta.url));

/** An orchestrator in a process of its own, ready when this resolves. */
export async function orchestratorProcess(t: ExecutionContext, bench: Bench): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', PROGRAM], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  // Awaited: while it lives, the last one to close the embedded Redis is not the last.
  t.teardown(() => kill(child));
  child.stdin?.end(
    JSON.stringify({
      ...{ root: bench.root, port: String(bench.sim.port) },
      ...{ clientKey: bench.clientKey, signer: bench.signer.socket },
    }),
  );
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`the orchestrator ended with ${code}`)));
  });
  return child;
}

/** SIGKILL. */
export async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
}
