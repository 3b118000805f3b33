/**
 * Somebody has the orchestrator's SSH key and an order that the fleet signed once. The node has lost its state, as every
 * node that boots from the network does at a restart: its TPM remembers. Real firmware, image, TPM and sshd.
 */
import { createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import test from 'ava';
import { keyLayout } from '../../keys/layout.ts';
import type { Order } from '../../protocol/order.ts';
import { deliver } from '../support/deliver.ts';
import type { Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';
import { signOrder } from '../support/sign-order.ts';

const NODE = 'old-order';
const DAY = 24 * 3600_000;
const by = { actor: 'test', at: Date.now() };

let rack: Rack;
rackFor(
  test,
  'order',
  [{ name: NODE, firmware: 'http' }],
  async (made) => {
    rack = made;
    await rack.startServer();
  },
  { minutes: 60 },
);

test.serial('an order that was captured is refused after the node has lost its state', async (t) => {
  t.timeout(60 * 60_000);
  await rack.lab.powerOn(NODE);
  const { id, words, observed } = await rack.sameWords(NODE);
  await rack.fleet((fleet) => fleet.approve(id, words, by, 'first'));
  const { observed: before } = await rack.until(NODE, (node) => node.state === 'healthy');

  const key = createPrivateKey(await readFile(keyLayout(rack.paths.keys).order.key, 'utf8'));
  const { version, sha256, size } = rack.image.manifest;
  const order = (epoch: number, more: Partial<Order> = {}) => {
    const now = Date.now();
    return signOrder(
      {
        ...{ format: 1, node: id, epoch, issuedAt: now, expires: now + 30 * DAY, mode: 'installed' },
        ...{ image: { version, sha256, size }, services: [], config: null, wipe: false, forgiven: [] },
        ...more,
      },
      key,
    );
  };
  const captured = order(4, { wipe: true });
  const inForce = order(5, { floor: version });
  const first = await deliver(rack, id, [captured, inForce]);
  t.deepEqual(
    first.answers.map(({ epoch, accepted }) => [epoch, accepted]),
    [
      [4, 'new'],
      [5, 'new'],
    ],
  );
  t.deepEqual(first.status.guard, { memory: 'tpm', epoch: 5, floor: version });

  await rack.lab.cycle(NODE);
  await rack.until(NODE, (node) => node.state === 'healthy' && node.observed.bootId !== before.bootId);
  t.is(observed.image, version);
  const below = order(6, { image: { version: '0.0.0-0', sha256, size } });
  const again = await deliver(rack, id, [captured, order(5), below, inForce]);
  t.is(again.answers[0]?.code, 'ORDER_EPOCH_OLD', 'replayed, with its word to wipe');
  t.is(again.answers[1]?.code, 'ORDER_EPOCH_REUSED');
  t.is(again.answers[2]?.code, 'ORDER_BELOW_FLOOR');
  t.is(again.answers[3]?.epoch, 5, 'what is in force is delivered again');
  t.deepEqual(again.status.guard, { memory: 'tpm', epoch: 5, floor: version });
});
