import test from 'ava';
import fc from 'fast-check';
import { type Progress, type Slot, Slots } from '../../../bootserver/tftp/slots.ts';

const LIMITS = { transfers: 6, transfersOfOne: 3, unheardOfOne: 2, idle: 100 };
const client = (address: number, port: number) => ({ address: `10.0.0.${address}`, port });

function admitted(slots: Slots, address: number, port: number, now: number): Slot {
  const admission = slots.admit(client(address, port), 'x', now);
  if (admission.kind !== 'admitted') throw new Error(admission.kind);
  return admission.slot;
}

test('a request that is repeated before it was answered is the same, afterwards a new one', (t) => {
  const slots = new Slots(LIMITS);
  const slot = admitted(slots, 1, 5, 0);
  t.is(slots.admit(client(1, 5), 'x', 1).kind, 'repeated');
  t.is(slots.admit(client(1, 5), 'y', 1).kind, 'admitted');
  slot.session = { heard: true, progressAt: 1 };
  t.is(slots.admit(client(1, 5), 'x', 2).kind, 'admitted');
});

test('of one address the oldest that was never heard makes room, and one of another address is left alone', (t) => {
  const slots = new Slots(LIMITS);
  const other = admitted(slots, 2, 1, 0);
  const oldest = admitted(slots, 1, 1, 1);
  const next = admitted(slots, 1, 2, 2);
  const admission = slots.admit(client(1, 3), 'x', 3);
  t.deepEqual(admission.kind === 'admitted' && admission.victims, [oldest]);
  t.true(slots.holds(other) && slots.holds(next) && !slots.holds(oldest));
});

test('when all are busy nobody makes room; who is idle for longest does', (t) => {
  const slots = new Slots(LIMITS);
  const held = [1, 2, 3, 4, 5, 6].map((address) => {
    const slot = admitted(slots, address, 1, 0);
    slot.session = { heard: true, progressAt: 10 * address };
    return slot;
  });
  t.is(slots.admit(client(7, 1), 'x', 109).kind, 'full');
  t.is(slots.size, 6);
  const admission = slots.admit(client(7, 1), 'x', 130);
  t.deepEqual(admission.kind === 'admitted' && admission.victims, [held[0]]);
});

test('whatever happens, the limits hold and no busy transfer is given up', (t) => {
  type Act = { address: number; port: number; wait: number; heard: number[] };
  const act: fc.Arbitrary<Act> = fc.record({
    address: fc.nat(4),
    port: fc.nat(20),
    wait: fc.nat(60),
    heard: fc.array(fc.nat(10), { maxLength: 3 }),
  });
  fc.assert(
    fc.property(fc.array(act, { maxLength: 80 }), (acts) => {
      const slots = new Slots(LIMITS);
      let now = 0;
      for (const { address, port, wait, heard } of acts) {
        now += wait;
        const all = [...slots.all()];
        for (const index of heard) {
          const slot = all[index];
          if (slot !== undefined) slot.session = { heard: true, progressAt: now } satisfies Progress;
        }
        const admission = slots.admit(client(address, port), 'x', now);
        if (admission.kind === 'admitted') {
          for (const { session } of admission.victims) {
            t.true(session === undefined || now - session.progressAt >= LIMITS.idle);
          }
          t.true(slots.holds(admission.slot));
        }
        const held = [...slots.all()];
        t.is(held.length, slots.size);
        t.true(slots.size <= LIMITS.transfers);
        for (let one = 0; one <= 4; one += 1) {
          const mine = held.filter((slot) => slot.client.address === `10.0.0.${one}`);
          t.true(mine.length <= LIMITS.transfersOfOne);
          t.true(mine.filter((slot) => slot.session === undefined).length <= LIMITS.unheardOfOne);
        }
      }
    }),
  );
});
