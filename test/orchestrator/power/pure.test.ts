import test from 'ava';
import fc from 'fast-check';
import { addressIn } from '../../../orchestrator/operations/power/bmc.ts';
import { compare, judge, uuidsIn, uuidsOf } from '../../../orchestrator/power/claim.ts';
import {
  failureIn,
  nextBootIn,
  powerIn,
  rawBytes,
  serialIn,
  wordsIn,
} from '../../../orchestrator/power/ipmi-output.ts';
import { argumentsOf } from '../../../orchestrator/power/ipmi-tool.ts';
import {
  collectionSchema,
  networkOverride,
  resetOf,
  systemSchema,
} from '../../../orchestrator/power/redfish-documents.ts';
import { type Action, judgeSeen, SEEN_TIMES } from '../../../orchestrator/power/seen.ts';
import { type BmcTest, nextTest, TEST_TIMES } from '../../../orchestrator/power/self-test.ts';
import { weaknesses } from '../../../orchestrator/power/weak.ts';

const UUID = 'ed5e00d6-7ebd-835a-b6f3-a79e7b0e75fe';
const NONE = { uuids: [], serial: null };

test('a UUID is known in each byte order in which BMCs write it', (t) => {
  const bytes = Buffer.from(UUID.replaceAll('-', ''), 'hex');
  const mixed = Buffer.concat([
    bytes.subarray(0, 4).reverse(),
    bytes.subarray(4, 6).reverse(),
    bytes.subarray(6, 8).reverse(),
    bytes.subarray(8),
  ]);
  const plain = Buffer.from(UUID.replaceAll('-', ''), 'hex');
  for (const as of [plain, Buffer.from(plain).reverse(), mixed, Buffer.from(mixed).reverse()])
    t.true(uuidsOf(as).includes(UUID), as.toString('hex'));
  t.true(uuidsIn(UUID.toUpperCase()).includes(UUID));
  t.deepEqual(uuidsIn('none'), []);
});

test('same, other and unknown: one agreement is enough, and what makers leave in is none', (t) => {
  const node = { uuids: [UUID], serial: 'BW-1' };
  const own = '11111111-2222-8333-9444-555555555555';
  t.is(judge(node, { uuids: [UUID], serial: 'other' }), 'same');
  t.is(judge(node, { uuids: [own], serial: ' bw-1 ' }), 'same', 'a BMC may have a UUID of its own');
  t.is(judge(node, { uuids: [own], serial: 'BW-2' }), 'other');
  t.is(judge(node, { uuids: [own], serial: null }), 'other');
  t.is(judge(node, { uuids: [], serial: 'BW-2' }), 'other');
  t.is(judge(node, NONE), 'unknown');
  t.is(judge(NONE, { uuids: [own], serial: 'x1' }), 'unknown');
  const zero = '00000000-0000-0000-0000-000000000000';
  t.is(
    judge(
      { uuids: [zero], serial: 'To be filled by O.E.M.' },
      { uuids: [zero], serial: 'To Be Filled By O.E.M.' },
    ),
    'unknown',
  );
  t.is(judge({ uuids: [zero], serial: 'Default string' }, { uuids: [zero], serial: 'A7' }), 'unknown');
});

test('the serial number is asked for only where the UUID does not decide', async (t) => {
  const serial = async () => t.fail() as never;
  t.is(
    (await compare({ uuids: async () => [UUID], serial }, { uuids: [UUID], serial: 'x' })).verdict,
    'same',
  );
});

test('what ipmitool prints: power, bytes, serial number, the next boot, why it failed', (t) => {
  t.is(powerIn('Loading IANA PEN Registry...\nChassis Power is on\n'), 'on');
  t.is(powerIn('Chassis Power is off'), 'off');
  for (const text of ['', 'Chassis Power is', 'Chassis Power is onwards', 'is on'])
    t.is(powerIn(text), null, text);
  t.deepEqual([...(rawBytes('RAW RSP (3 bytes)\n a1 23 45\n') ?? [])], [0xa1, 0x23, 0x45]);
  t.deepEqual([...(rawBytes(' a1 23\n 45\n') ?? [])], [0xa1, 0x23, 0x45], 'over several lines');
  t.is(rawBytes('Unable to send RAW command'), null);
  t.is(serialIn(' Board Serial  : B1\n Product Serial        : P 1 \n'), 'P 1');
  t.is(serialIn(' Chassis Serial : \n Board Serial : B1\n'), 'B1');
  t.is(serialIn(''), null);
  t.deepEqual(nextBootIn(Uint8Array.of(1, 5, 0x80, 0x04, 0, 0, 0)), { valid: true, network: true });
  t.deepEqual(nextBootIn(Uint8Array.of(1, 5, 0xe0, 0x08, 0, 0, 0)), { valid: true, network: false });
  for (const bytes of [[], [1, 5], [1, 4, 0x80, 4, 0, 0, 0]]) t.is(nextBootIn(Uint8Array.from(bytes)), null);
  for (const [text, why] of [
    ['Error in open session response message : invalid authentication algorithm', 'suite'],
    ['Error in open session response message : no matching cipher suite', 'suite'],
    ['> RAKP 2 HMAC is invalid\nError: Unable to establish IPMI v2 / RMCP+ session', 'login'],
    ['RAKP 2 message indicates an error : unauthorized name', 'login'],
    ['Get Auth Capabilities error\nError: Unable to establish IPMI v2 / RMCP+ session', 'silent'],
    ['Error: Unable to establish IPMI v2 / RMCP+ session', 'other'],
    ['Unable to get Chassis Power Status\nIPMI Request Match NOT FOUND', 'other'],
    ['Set Chassis Power Control to Cycle failed: Command not supported in present state', 'refused'],
    [
      'Unable to send RAW command (channel=0x0 netfn=0x6 lun=0x0 cmd=0x37 rsp=0xc1): Invalid command',
      'refused',
    ],
  ] as const)
    t.is(failureIn(text), why, text);
  t.is(
    wordsIn('Loading IANA PEN Registry...\nSet Chassis Power Control failed: Command not supported\n'),
    'Set Chassis Power Control failed: Command not supported',
  );
});

test('no output of ipmitool ends the process', (t) => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.stringMatching(/^( [0-9a-f]{2}| \n|Chassis Power is |Product Serial : )*$/)),
      (text) => {
        const bytes = rawBytes(text);
        return (
          [powerIn(text), serialIn(text), failureIn(text), wordsIn(text), bytes === null || nextBootIn(bytes)]
            .length === 5
        );
      },
    ),
  );
  t.pass();
});

test('no JSON ends the process, and no link leads off the BMC', (t) => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      systemSchema.safeParse(value);
      return true;
    }),
  );
  fc.assert(
    fc.property(fc.oneof(fc.webUrl(), fc.string()), (link) => {
      const parsed = collectionSchema.safeParse({ Members: [{ '@odata.id': link }] });
      return !parsed.success || new URL(link, 'https://bmc').host === 'bmc';
    }),
  );
  t.pass();
});

test('ipmitool is given no password, and never cipher suite 0 for a session', (t) => {
  const access = {
    kind: 'ipmi',
    host: '10.0.0.1',
    port: 623,
    user: 'u',
    password: 's3cret',
    pin: null,
    suite: null,
  } as const;
  t.deepEqual(
    argumentsOf(access, { suite: 17, wait: 1 }).join(' '),
    '-I lanplus -C 17 -N 1 -R 1 -v -H 10.0.0.1 -p 623 -U u -E',
  );
});

test('Redfish is told what it offers', (t) => {
  const offers = (...types: string[]) =>
    systemSchema.parse({
      '@odata.id': '/s',
      Actions: { '#ComputerSystem.Reset': { target: '/r', 'ResetType@Redfish.AllowableValues': types } },
    });
  t.deepEqual(resetOf(offers('On', 'ForceOff'), 'off'), { target: '/r', type: 'ForceOff' });
  t.is(resetOf(offers('On', 'ForceOff'), 'cycle'), null);
  t.is(resetOf(offers('GracefulShutdown'), 'off'), null, 'asking the machine is not pulling the plug');
  t.is(resetOf(systemSchema.parse({ '@odata.id': '/s' }), 'on'), null);
  const boots = (...targets: string[]) =>
    systemSchema.parse({
      '@odata.id': '/s',
      Boot: { 'BootSourceOverrideTarget@Redfish.AllowableValues': targets },
    });
  t.like(networkOverride(boots('Hdd', 'UefiHttp'), 'uefi'), {
    Boot: { BootSourceOverrideTarget: 'UefiHttp' },
  });
  t.is(networkOverride(boots('Hdd'), 'uefi'), null);
});

const action = (change: Partial<Action> = {}): Action => ({
  ...{ id: 'a', action: 'cycle', network: false, by: 'operator:x', at: 1_000_000, said: 'on' },
  before: { bootId: 'boot-1', lastSeen: 990_000, power: 'on' },
  ...{ verdict: 'waiting', verdictAt: null, why: '', ...change },
});

test('a restart is believed when the node is heard in another boot, and not because the BMC said yes', (t) => {
  const { grace, start } = SEEN_TIMES;
  const judged = (heard: { bootId: string; lastSeen: number | null }, after: number) =>
    judgeSeen(action(), heard, 1_000_000 + after)?.verdict ?? null;
  t.is(judged({ bootId: 'boot-1', lastSeen: 990_000 }, 60_000), null, 'silent: it may be on its way');
  t.is(judged({ bootId: 'boot-1', lastSeen: 1_000_000 + grace - 1 }, grace), null, 'a last word on its way');
  t.is(judged({ bootId: 'boot-1', lastSeen: 1_000_000 + grace + 1 }, grace + 2), 'unmoved');
  t.is(judged({ bootId: 'boot-2', lastSeen: 1_060_000 }, 60_000), 'seen');
  t.is(
    judged({ bootId: 'boot-2', lastSeen: 990_000 }, 60_000),
    null,
    'heard before, so it is another restart',
  );
  t.is(judged({ bootId: 'boot-1', lastSeen: 990_000 }, start + 1), 'unseen');
  t.is(judged({ bootId: '', lastSeen: null }, start + 1), 'unseen');
  t.regex(
    judgeSeen(action(), { bootId: '', lastSeen: null }, 1e9)!.why,
    /the BMC said yes, and the node was not seen to restart/,
  );
  t.regex(
    judgeSeen(action({ said: null }), { bootId: '', lastSeen: null }, 1e9)!.why,
    /the BMC gave no clear answer/,
  );
});

test('off is believed when a node that was heard is heard no longer', (t) => {
  const { grace, silence } = SEEN_TIMES;
  const off = action({ action: 'off', said: 'off' });
  const judged = (one: Action, lastSeen: number | null, after: number) =>
    judgeSeen(one, { bootId: 'boot-1', lastSeen }, 1_000_000 + after)?.verdict ?? null;
  t.is(judged(off, 990_000, silence), null);
  t.is(judged(off, 990_000, silence + 1), 'seen');
  t.is(judged(off, 1_000_000 + grace + 1, grace + 2), 'unmoved');
  const unheard = { ...off, before: { ...off.before, lastSeen: 1_000_000 - silence - 1 } };
  t.is(judged(unheard, 1_000_000 - silence - 1, silence + 1), 'unseen', 'its silence proves nothing');
});

test('default passwords, suite 0 and an address on the network of the nodes are said; nothing else is', (t) => {
  const networks = [
    { interface: 'eth1', cidr: '10.1.0.1/24' },
    { interface: 'eth1', cidr: 'fd00:1::1/64' },
  ];
  const codes = (host: string, user: string, password: string, zero = false) =>
    weaknesses({ host, user, password }, zero ? ['cipher-zero'] : [], networks).map(({ code }) => code);
  t.deepEqual(codes('10.2.0.5', 'ADMIN', 'x9'), []);
  t.deepEqual(codes('10.2.0.5', 'ADMIN', 'ADMIN'), ['default-password']);
  t.deepEqual(codes('10.2.0.5', 'root', 'calvin'), ['default-password']);
  t.deepEqual(codes('10.1.0.5', 'root', 'x9'), ['node-network']);
  t.deepEqual(codes('fd00:1::9', 'root', 'x9'), ['node-network']);
  t.deepEqual(codes('10.1.1.5', 'root', 'x9', true), ['cipher-zero']);
});

test('a name is no address: it could come to mean another host', (t) => {
  t.deepEqual(addressIn('10.0.0.1', 623), { host: '10.0.0.1', port: 623 });
  t.deepEqual(addressIn('10.0.0.1:6230', 623), { host: '10.0.0.1', port: 6230 });
  t.deepEqual(addressIn('fd00::1', 443), { host: 'fd00::1', port: 443 });
  t.deepEqual(addressIn('[fd00::1]:8443', 443), { host: 'fd00::1', port: 8443 });
  for (const text of [
    'bmc.example',
    'localhost',
    '10.0.0.1:0',
    '10.0.0.1:70000',
    '10.0.0',
    '[10.0.0.1]:1',
    '-H',
    'fe80::1%eth0',
    '1.2.3.4/x',
    '',
  ])
    t.is(addressIn(text, 623), null, text);
  fc.assert(
    fc.property(fc.string(), (text) => {
      const found = addressIn(text, 623);
      return found === null || /^[0-9a-f.:]+$/i.test(found.host);
    }),
  );
});

test('tests of many BMCs that were set together are spread, and one that failed is looked at sooner', (t) => {
  const at = 1_800_000_000_000;
  const result = (ok: boolean): BmcTest => ({
    at,
    took: 1,
    ok,
    power: null,
    code: '',
    what: '',
    weaknesses: [],
  });
  t.is(nextTest('n', undefined), 0);
  const due = Array.from({ length: 1000 }, (_, n) => nextTest(`tpm-${n}`, result(true)) - at);
  t.true(Math.min(...due) >= TEST_TIMES.good * 0.75 && Math.max(...due) <= TEST_TIMES.good * 1.25);
  const tenths = due.map((one) => Math.floor((one / TEST_TIMES.good - 0.75) * 20));
  for (let tenth = 0; tenth < 10; tenth++)
    t.true(tenths.filter((one) => one === tenth).length > 50, String(tenth));
  t.true(nextTest('n', result(false)) - at <= TEST_TIMES.failed * 1.25);
});
