/** What was promised under one configuration and is asked for under another (RFC 2131 4.3.2). */
import test from 'ava';
import fc from 'fast-check';
import { formatIp4, parseIp4 } from '../../../formats/dhcp/ip4.ts';
import { OPTION } from '../../../formats/dhcp/options.ts';
import { message, replied, rig, SERVER, shown, subnet } from './messages.ts';

const EVERYONE = '255.255.255.255:68';
const NAK = `nak -> ${EVERYONE}`;
const mac = '52:54:00:00:00:01';

/** Machine 1 has 10.0.0.10. */
function bound(more: Parameters<typeof message>[2] = {}) {
  const server = rig();
  server.decide(message('discover', 1, more));
  server.decide(message('request', 1, { ...more, requested: '10.0.0.10', serverId: SERVER }));
  return server;
}

const moved = { subnets: [subnet({ pools: [{ from: '10.0.0.50', to: '10.0.0.60' }] })] };

test('another range: who comes back with an address of the former one is told NAK, and gets one of the new', (t) => {
  const server = bound();
  const decide = server.reconfigured(moved);
  t.is(shown(decide(message('request', 1, { requested: '10.0.0.10' }))), NAK, 'INIT-REBOOT');
  t.is(shown(decide(message('request', 1, { ciaddr: '10.0.0.10' }))), NAK, 'renewing');
  t.is(shown(decide(message('request', 1, { requested: '10.0.0.10', serverId: SERVER }))), NAK, 'selecting');
  t.is(shown(decide(message('discover', 1, { requested: '10.0.0.10' }))), `offer 10.0.0.50 -> ${EVERYONE}`);
});

test("the address became the router, the server, or another machine's: NAK", (t) => {
  for (const now of [
    { subnets: [subnet({ router: '10.0.0.10' })] },
    { serverIp: '10.0.0.10' },
    { hosts: [{ mac: '52:54:00:00:00:99', address: '10.0.0.10' }] },
    { subnets: [subnet({ pools: [] })] },
  ]) {
    const decide = bound().reconfigured(now);
    t.is(shown(decide(message('request', 1, { ciaddr: '10.0.0.10' }))), NAK, JSON.stringify(now));
    const again = decide(message('discover', 1));
    t.not(again.kind === 'reply' && formatIp4(again.reply.yiaddr), '10.0.0.10');
  }
});

test('the machine has a reservation now: NAK at its former address, then the reserved one', (t) => {
  const decide = bound().reconfigured({ hosts: [{ mac, address: '10.0.0.40' }] });
  t.is(shown(decide(message('request', 1, { ciaddr: '10.0.0.10' }))), NAK);
  t.is(shown(decide(message('discover', 1))), `offer 10.0.0.40 -> ${EVERYONE}`);
});

test('the address that a machine has under a client identifier is reserved for it: it keeps it', (t) => {
  const duid = { options: [[OPTION.clientId, Uint8Array.of(255, 1, 2)]] as const };
  const decide = bound(duid).reconfigured({ hosts: [{ mac, address: '10.0.0.10' }] });
  const renewal = message('request', 1, { ...duid, ciaddr: '10.0.0.10' });
  t.is(shown(decide(renewal)), 'ack 10.0.0.10 -> 10.0.0.10:68');
  t.is(shown(decide(message('discover', 1, duid))), `offer 10.0.0.10 -> ${EVERYONE}`);
});

test('and when the reservation is taken back it keeps its address too', (t) => {
  const duid = { options: [[OPTION.clientId, Uint8Array.of(255, 1, 2)]] as const };
  const server = rig({ hosts: [{ mac, address: '10.0.0.10' }] });
  server.decide(message('discover', 1, duid));
  server.decide(message('request', 1, { ...duid, requested: '10.0.0.10', serverId: SERVER }));
  const decide = server.reconfigured({});
  const renewal = message('request', 1, { ...duid, ciaddr: '10.0.0.10' });
  t.is(shown(decide(renewal)), 'ack 10.0.0.10 -> 10.0.0.10:68');
});

test('who is unknown here and asks again for an address elsewhere in this network: silence (another server may know it)', (t) => {
  const decide = rig().reconfigured(moved);
  t.is(shown(decide(message('request', 1, { requested: '10.0.0.10' }))), 'silent');
});

test('whatever was leased before, nothing is confirmed or offered that the configuration does not give out', (t) => {
  const range = fc.tuple(fc.integer({ min: 2, max: 20 }), fc.integer({ min: 0, max: 6 }));
  const asks = fc.array(
    fc.tuple(fc.integer({ min: 1, max: 4 }), fc.constantFrom('renew', 'reboot', 'select', 'discover')),
  );
  const pools = ([from, length]: [number, number]) => ({
    subnets: [subnet({ pools: [{ from: `10.0.0.${from}`, to: `10.0.0.${from + length}` }] })],
  });
  fc.assert(
    fc.property(range, range, asks, (before, after, all) => {
      const server = rig(pools(before));
      const had = new Map<number, string>();
      for (const n of [1, 2, 3]) {
        const offer = server.decide(message('discover', n));
        if (offer.kind !== 'reply') continue;
        const address = formatIp4(offer.reply.yiaddr);
        server.decide(message('request', n, { requested: address, serverId: SERVER }));
        had.set(n, address);
      }
      const decide = server.reconfigured(pools(after));
      for (const [n, how] of all) {
        const address = had.get(n) ?? '10.0.0.9';
        const parts = {
          renew: { ciaddr: address },
          reboot: { requested: address },
          select: { requested: address, serverId: SERVER },
          discover: { requested: address },
        }[how];
        const decision = decide(message(how === 'discover' ? 'discover' : 'request', n, parts));
        if (decision.kind !== 'reply' || decision.reply.yiaddr === 0) continue;
        const last = replied(decision).yiaddr - parseIp4('10.0.0.0');
        if (last < after[0] || last > after[0] + after[1]) throw new Error(`gave out 10.0.0.${last}`);
      }
    }),
    { numRuns: 500 },
  );
  t.pass();
});
