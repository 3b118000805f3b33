/** Orders that a test signs and delivers itself, as an orchestrator does. */
import { createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { keyLayout } from '../../keys/layout.ts';
import type { Status } from '../../protocol/link/messages.ts';
import type { Usage } from '../../protocol/link/usage.ts';
import type { OrderedService, Restraint } from '../../protocol/order.ts';
import { BOOT, type Rack } from './rack.ts';
import { signOrder } from './sign-order.ts';

const PROGRAM = fileURLToPath(new URL('./deliver-program.ts', import.meta.url));
const DAY = 24 * 3600_000;

export type Heard = {
  answers: { epoch?: number; accepted?: string; code?: string }[];
  status: Status;
  usage: Usage;
};

/** From inside the lab's network, over a connection of its own. Without envelopes, the node is only asked. */
export async function deliver(rack: Rack, id: string, envelopes: readonly unknown[] = []): Promise<Heard> {
  const done = await rack.lab.inNamespace(process.execPath, [PROGRAM], {
    input: JSON.stringify({ root: rack.paths.root, id, envelopes }),
    timeout: BOOT,
  });
  if (done.code !== 0) throw new Error(done.stderr);
  return JSON.parse(done.stdout.trim().split('\n').at(-1) ?? '') as Heard;
}

/** To a node without a disk. @throws Error when it does not take it */
export async function orderServices(
  rack: Rack,
  id: string,
  epoch: number,
  services: readonly OrderedService[],
  restraints: readonly Restraint[] = [],
): Promise<void> {
  const key = createPrivateKey(await readFile(keyLayout(rack.paths.keys).order.key, 'utf8'));
  const issuedAt = Date.now();
  const envelope = signOrder(
    {
      ...{ format: 1, node: id, epoch, issuedAt, expires: issuedAt + 30 * DAY, mode: 'netboot', image: null },
      ...{ services: [...services], config: null, wipe: false, forgiven: [] },
      ...(restraints.length === 0 ? {} : { restraints: [...restraints] }),
    },
    key,
  );
  const { answers } = await deliver(rack, id, [envelope]);
  if (answers[0]?.accepted === undefined) throw new Error(JSON.stringify(answers));
}
