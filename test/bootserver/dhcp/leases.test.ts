import test from 'ava';
import fc from 'fast-check';
import { formatIp4, parseIp4 } from '../../../formats/dhcp/ip4.ts';
import { message, replied, rig, SERVER } from './messages.ts';

type Step = { n: number; what: 'discover' | 'take' | 'renew' | 'release' | 'decline' | 'wait'; wish: number };
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    n: fc.integer({ min: 1, max: 6 }),
    what: fc.constantFrom('discover', 'take', 'renew', 'release', 'decline', 'wait'),
    wish: fc.integer({ min: 9, max: 13 }),
  }),
  { maxLength: 60 },
);

test('whatever clients do, no address is ever bound to two of them at once, nor outside the range', (t) => {
  fc.assert(
    fc.property(steps, (all) => {
      const server = rig();
      /** What each client was last promised, until when. */
      const promised = new Map<number, { ip: number; until: number }>();
      const offered = new Map<number, number>();
      for (const { n, what, wish } of all) {
        const held = promised.get(n);
        const ip = formatIp4(held?.ip ?? parseIp4('10.0.0.0') + wish);
        if (what === 'wait') server.clock.now += wish * 40_000;
        else if (what === 'discover') {
          const decision = server.decide(message('discover', n, { requested: ip }));
          if (decision.kind === 'reply') offered.set(n, replied(decision).yiaddr);
        } else if (what === 'release' || what === 'decline') {
          const parts = what === 'release' ? { ciaddr: ip } : { requested: ip };
          if (server.decide(message(what, n, { ...parts, serverId: SERVER })).kind === 'change')
            promised.delete(n);
        } else {
          const wished = formatIp4(offered.get(n) ?? parseIp4(ip));
          const parts = what === 'renew' ? { ciaddr: ip } : { requested: wished, serverId: SERVER };
          const decision = server.decide(message('request', n, parts));
          if (decision.kind !== 'reply' || decision.reply.yiaddr === 0) continue;
          const bound = decision.reply.yiaddr;
          if (bound < parseIp4('10.0.0.10') || bound > parseIp4('10.0.0.12'))
            throw new Error('outside the range');
          for (const [other, promise] of promised) {
            if (other !== n && promise.ip === bound && promise.until > server.clock.now)
              throw new Error('bound twice');
          }
          promised.set(n, { ip: bound, until: server.clock.now + 600_000 });
        }
      }
    }),
    { numRuns: 1500 },
  );
  t.pass();
});
