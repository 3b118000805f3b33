/** Logs as firmware writes them, made here field by field; a real one goes through the same code in test/e2e. */
import { createHash } from 'node:crypto';
import test from 'ava';
import fc from 'fast-check';
import { BootwaveError } from '../../../base/error.ts';
import { firmwareFacts } from '../../../bootserver/enroll/firmware-log.ts';
import {
  checkReplay,
  EVENT,
  EVENT_LOG_LIMITS,
  parseEventLog,
  replay,
} from '../../../formats/efi/event-log.ts';
import { X509 } from '../../../formats/efi/signature-lists.ts';
import {
  authority,
  eventLog,
  FLEET_KEYS,
  keyEvents,
  OTHER_CERTIFICATE,
  SHA256_LIST,
  signatureList,
  variable,
  variableOf,
  type Written,
} from '../../bootserver/enroll/support/event-log.ts';

const hash = (...parts: Uint8Array[]) => createHash('sha256').update(Buffer.concat(parts)).digest();
const ZERO = Buffer.alloc(32);
const good = () => eventLog([...keyEvents(), authority(FLEET_KEYS.db[0]!)]);
const factsOf = (log: Buffer) => firmwareFacts(log, replay(parseEventLog(log)), FLEET_KEYS);

test('a replay extends each PCR with its events in order, and with nothing that only tells', (t) => {
  const log = eventLog([
    { pcr: 0, type: 8, data: Buffer.from('version') },
    { pcr: 4, type: EVENT.SEPARATOR, data: Buffer.alloc(4) },
    { pcr: 4, type: EVENT.NO_ACTION, data: Buffer.from('only told') },
    { pcr: 4, type: 0x80000003, data: Buffer.from('what the image is'), digest: hash(Buffer.from('image')) },
    { pcr: 11, type: 0x0d, data: Buffer.from('beyond the firmware') },
  ]);
  const values = replay(parseEventLog(log));
  t.is(values['0'], hash(ZERO, hash(Buffer.from('version'))).toString('hex'));
  const separator = hash(ZERO, hash(Buffer.alloc(4)));
  t.is(values['4'], hash(separator, hash(Buffer.from('image'))).toString('hex'));
  t.is(values['7'], ZERO.toString('hex'));
  t.deepEqual(Object.keys(values), ['0', '1', '2', '3', '4', '5', '6', '7']);
});

test('PCR 0 starts with the locality from which the TPM was started', (t) => {
  const data = Buffer.concat([Buffer.from('StartupLocality\0'), Buffer.from([3])]);
  const values = replay(parseEventLog(eventLog([{ pcr: 0, type: EVENT.NO_ACTION, data }])));
  t.is(values['0'], `${'00'.repeat(31)}03`);
});

test('zeros behind the locality, and behind whatever else firmware writes, change nothing that was measured', (t) => {
  const filled = (data: Uint8Array, fill: number) => Buffer.concat([data, Buffer.alloc(fill)]);
  const locality = Buffer.concat([Buffer.from('StartupLocality\0'), Buffer.from([3])]);
  const start = (data: Buffer) => ({ pcr: 0, type: EVENT.NO_ACTION, data });
  const plain = eventLog([start(locality), ...keyEvents(), authority(FLEET_KEYS.db[0]!)]);
  const quoted = replay(parseEventLog(plain));
  for (const fill of [1, 3, 15]) {
    // Measured as it should be, and written down with more.
    const events = [...keyEvents(), authority(FLEET_KEYS.db[0]!)].map((event) => ({
      ...event,
      digest: event.digest ?? hash(event.data),
      data: filled(event.data, fill),
    }));
    const log = eventLog([start(filled(locality, fill)), ...events]);
    t.deepEqual(firmwareFacts(log, quoted, FLEET_KEYS), firmwareFacts(plain, quoted, FLEET_KEYS), `${fill}`);
  }
  const other = Buffer.concat([Buffer.from('StartupLocality\0'), Buffer.from([4, 0, 0])]);
  t.throws(() => firmwareFacts(eventLog([start(other), ...keyEvents()]), quoted, FLEET_KEYS), {
    code: 'EVENT_LOG_FORGED',
  });
});

test('what firmware measured with zeros behind it says the same; with anything else it says nothing', (t) => {
  const longer = (fill: Buffer) =>
    keyEvents().map((event) =>
      event.type === EVENT.VARIABLE_DRIVER_CONFIG
        ? { ...event, data: Buffer.concat([event.data, fill]) }
        : event,
    );
  t.deepEqual(factsOf(eventLog(longer(Buffer.alloc(5)))), factsOf(eventLog(keyEvents())));
  t.throws(() => factsOf(eventLog(longer(Buffer.from([0, 1])))), { code: 'EVENT_LOG_MALFORMED' });
  const long = [Buffer.from([1, 0, 0, 0]), Buffer.from([1, 2]), Buffer.from([0, 1]), Buffer.alloc(0)];
  const isOn = long.map((data) => factsOf(eventLog([variableOf('SecureBoot', data)])).secureBoot);
  t.deepEqual(isOn, [true, false, false, false]);
  const foreignOf = (db: Buffer) =>
    factsOf(
      eventLog(
        keyEvents().map((event) =>
          event.data.subarray(32).toString('utf16le').startsWith('db') &&
          !event.data.subarray(32).toString('utf16le').startsWith('dbx')
            ? variableOf('db', db)
            : event,
        ),
      ),
    ).foreign;
  const lists = (after: Buffer) =>
    foreignOf(Buffer.concat([signatureList(X509, [FLEET_KEYS.db[0]!]), after]));
  t.deepEqual(lists(Buffer.alloc(12)), []);
  t.deepEqual(lists(Buffer.alloc(64)), []);
  t.throws(() => lists(Buffer.concat([Buffer.alloc(16), Buffer.from([1]), Buffer.alloc(40)])), {
    code: 'EVENT_LOG_MALFORMED',
  });
  const padded = Buffer.concat([FLEET_KEYS.db[0]!, Buffer.alloc(3)]);
  const strange = Buffer.concat([FLEET_KEYS.db[0]!, Buffer.from([7])]);
  const entry = (data: Uint8Array) => foreignOf(signatureList(X509, [data]));
  t.deepEqual(entry(padded), []);
  t.deepEqual(entry(strange), ["db is not the fleet's"]);
});

test('separators, texts and names that are longer than they should be are what they are', (t) => {
  const foreignOf = (...more: Written[]) => factsOf(eventLog([...keyEvents(), ...more])).foreign;
  const separator = { pcr: 7, type: EVENT.SEPARATOR, data: Buffer.alloc(8), digest: hash(Buffer.alloc(4)) };
  const text = Buffer.from('DMA Protection Disabled\0');
  t.deepEqual(foreignOf(separator), []);
  t.deepEqual(foreignOf({ pcr: 7, type: EVENT.ACTION, data: text }), [], 'its zero was measured');
  const unmeasured = { pcr: 7, type: EVENT.ACTION, data: text, digest: hash(text.subarray(0, -1)) };
  t.deepEqual(foreignOf(unmeasured), [], 'its zero was only written');
  const error = { pcr: 7, type: EVENT.SEPARATOR, data: Buffer.from([1, 0, 0, 0]) };
  const hidden = { pcr: 7, type: EVENT.ACTION, data: Buffer.from('a\0b') };
  const lie = { pcr: 7, type: EVENT.SEPARATOR, data: Buffer.alloc(4), digest: hash(Buffer.from('x')) };
  for (const event of [error, hidden, lie]) t.is(foreignOf(event).length, 1);
  const counted = variableOf('SecureBoot\0', Buffer.from([1]));
  t.true(factsOf(eventLog([counted])).secureBoot, 'the zero that ends a name is counted by some');
});

test('the header may leave out or add vendor bytes, and memory that nothing was written to ends the list', (t) => {
  const log = good();
  const quoted = replay(parseEventLog(log));
  const facts = firmwareFacts(log, quoted, FLEET_KEYS);
  // The size of the header's event, and the vendor's length at the end of it.
  const size = log.readUInt32LE(28);
  const withHeader = (data: Buffer) => {
    const head = Buffer.from(log.subarray(0, 32));
    head.writeUInt32LE(data.length, 28);
    return Buffer.concat([head, data, log.subarray(32 + size)]);
  };
  const specification = log.subarray(32, 32 + size);
  const variants = [
    withHeader(specification.subarray(0, -1)),
    withHeader(Buffer.concat([specification, Buffer.alloc(3)])),
    withHeader(Buffer.concat([specification.subarray(0, -1), Buffer.from([4, 1, 2, 3, 4])])),
    Buffer.concat([log, Buffer.alloc(1000)]),
    Buffer.concat([log, Buffer.alloc(999, 0xff)]),
    // A remark without digests.
    Buffer.concat([log, Buffer.from([0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9])]),
  ];
  for (const variant of variants) t.deepEqual(firmwareFacts(variant, quoted, FLEET_KEYS), facts);
  t.throws(() => parseEventLog(Buffer.concat([log, Buffer.alloc(100), Buffer.from([1])])), {
    code: 'EVENT_LOG_MALFORMED',
  });
  // What was measured cannot be left out that way.
  const cut = eventLog(keyEvents());
  t.throws(() => firmwareFacts(Buffer.concat([cut, Buffer.alloc(500)]), quoted, FLEET_KEYS), {
    code: 'EVENT_LOG_FORGED',
  });
});

test('a log whose replay gives other values than the quoted ones is a forged one, whatever was changed', (t) => {
  const log = good();
  const quoted = replay(parseEventLog(log));
  t.notThrows(() => checkReplay(parseEventLog(log), quoted));
  const bent = { ...quoted, '7': 'ff'.repeat(32) };
  t.throws(() => checkReplay(parseEventLog(log), bent), { code: 'EVENT_LOG_FORGED', message: /PCR 7/ });
  const shorter = eventLog(keyEvents());
  t.throws(() => firmwareFacts(shorter, quoted, FLEET_KEYS), { code: 'EVENT_LOG_FORGED' });
  // The digests are the right ones, the data beside them tells of other keys.
  const swapped = keyEvents().map((event) => ({ ...event, digest: hash(event.data) }));
  const lie = variable('db', OTHER_CERTIFICATE);
  const db = swapped.findIndex(({ data }) => data.includes(Buffer.from('db', 'utf16le')));
  swapped[db] = { ...swapped[db]!, data: lie.data };
  const forged = eventLog([...swapped, authority(FLEET_KEYS.db[0]!)]);
  t.deepEqual(replay(parseEventLog(forged)), quoted, 'the replay alone does not show it');
  t.throws(() => firmwareFacts(forged, quoted, FLEET_KEYS), { code: 'EVENT_LOG_FORGED' });
});

test("the fleet's own keys, and nothing but them", (t) => {
  const dbx = { entries: 0, sha256: hash().toString('hex') };
  const db = [idOf(FLEET_KEYS.db[0]!)];
  t.deepEqual(factsOf(good()), { secureBoot: true, foreign: [], optionRoms: [], db, dbx });
  for (const name of ['PK', 'KEK', 'db'] as const) {
    const events = keyEvents();
    const at = events.findIndex(({ data }) => data.subarray(32).toString('utf16le').startsWith(name));
    const others = [
      variable(name, OTHER_CERTIFICATE),
      variable(name, FLEET_KEYS[name][0]!, OTHER_CERTIFICATE),
      variable(name),
    ];
    for (const other of others) {
      const foreign = factsOf(eventLog(events.with(at, other))).foreign;
      t.deepEqual(foreign, [`${name} is not the fleet's`]);
    }
    t.deepEqual(factsOf(eventLog(events.toSpliced(at, 1))).foreign, [`${name} is not the fleet's`]);
  }
  const started = eventLog([...keyEvents(), authority(OTHER_CERTIFICATE)]);
  t.deepEqual(factsOf(started).foreign, ['started what another key signed (db)']);
  t.false(factsOf(eventLog(keyEvents(0))).secureBoot);
  t.false(factsOf(eventLog([])).secureBoot, 'what was not measured is not on');
});

test('whoever starts under other keys cannot hide them behind other types of events, and extend the PCR with ours', (t) => {
  const theirs = [variableOf('SecureBoot', Buffer.from([0])), variable('db', OTHER_CERTIFICATE)];
  const ours = [...keyEvents(), authority(FLEET_KEYS.db[0]!)];
  t.false(factsOf(eventLog([...theirs, ...ours])).secureBoot);
  for (const type of [EVENT.SEPARATOR, EVENT.ACTION, EVENT.BOOT_SERVICES_DRIVER, 0x0d]) {
    const hidden = theirs.map((event) => ({ ...event, type }));
    const foreign = [`PCR 7 holds an event of type 0x${type.toString(16)} that nobody can read`];
    t.like(factsOf(eventLog([...hidden, ...ours])), { secureBoot: true, foreign });
    // With the data of a harmless event beside the digest of another one.
    const disguised = hidden.map(({ data, ...event }) => ({
      ...{ ...event, digest: hash(data) },
      data: type === EVENT.ACTION ? Buffer.from('DMA Protection Disabled') : Buffer.alloc(4),
    }));
    t.like(factsOf(eventLog([...disguised, ...ours])), { foreign });
  }
});

test('a log full of strange events is not kept whole', (t) => {
  const strange = Array.from({ length: 500 }, (_, i) => ({ pcr: 7, type: 0x100 + i, data: Buffer.alloc(1) }));
  t.is(factsOf(eventLog([...keyEvents(), ...strange])).foreign.length, 16);
});

test('what a program measures in the place of firmware that measures nothing is not taken for it', (t) => {
  const separator = { pcr: 7, type: EVENT.SEPARATOR, data: Buffer.alloc(4) };
  const { foreign } = factsOf(eventLog([separator, ...keyEvents(), authority(FLEET_KEYS.db[0]!)]));
  t.true(foreign.includes('SecureBoot was measured after something was started'));
  // Firmware measures a variable once more when it was changed before the system starts.
  const again = variable('dbx', hash(Buffer.from('revoked')));
  t.deepEqual(factsOf(eventLog([...keyEvents(), again, authority(FLEET_KEYS.db[0]!)])).foreign, []);
});

test('what firmware remarks about itself in PCR 7 is no key of somebody else', (t) => {
  const remarks = [
    { pcr: 7, type: EVENT.ACTION, data: Buffer.from('DMA Protection Disabled') },
    { pcr: 7, type: EVENT.SEPARATOR, data: Buffer.alloc(4, 0xff) },
    { pcr: 7, type: EVENT.NO_ACTION, data: Buffer.from([0, 1, 2]) },
  ];
  t.deepEqual(factsOf(eventLog([...keyEvents(), ...remarks])).foreign, []);
});

const idOf = (certificate: Uint8Array) => hash(certificate).toString('hex').slice(0, 16);

test("while one db certificate follows another, either and both are the fleet's, and it is told which", (t) => {
  const [first, second] = [FLEET_KEYS.db[0]!, OTHER_CERTIFICATE];
  const keys = { ...FLEET_KEYS, db: [first, second] };
  for (const held of [[first], [second], [first, second]]) {
    for (const signer of [first, second]) {
      const log = logWith(held, signer);
      const facts = firmwareFacts(log, replay(parseEventLog(log)), keys);
      t.like(facts, { foreign: [], db: held.map(idOf) });
      t.false('retired' in facts);
    }
  }
});

test('a retired certificate is told, in db and of what started, and is no stranger', (t) => {
  const [now, gone] = [FLEET_KEYS.db[0]!, OTHER_CERTIFICATE];
  const keys = { ...FLEET_KEYS, db: [now], retired: [gone] };
  const told = (held: Uint8Array[], signer: Uint8Array) => {
    const log = logWith(held, signer);
    const { foreign, retired } = firmwareFacts(log, replay(parseEventLog(log)), keys);
    t.deepEqual(foreign, []);
    return retired;
  };
  t.is(told([now], now), undefined);
  t.deepEqual(told([now, gone], now), [`db still holds the retired ${idOf(gone)}`]);
  t.deepEqual(told([now], gone), ['started what a retired key signed']);
  t.is(told([gone], gone)?.length, 2);
});

/** The fleet's PK and KEK, this db, and a program that this certificate let run. */
function logWith(db: readonly Uint8Array[], signer: Uint8Array): Buffer {
  const [secureBoot, PK, KEK, , ...rest] = keyEvents();
  return eventLog([secureBoot!, PK!, KEK!, variable('db', ...db), ...rest, authority(signer)]);
}

test('what is revoked is counted and told by its digest, and keeps nobody out, readable or not', (t) => {
  const events = keyEvents();
  const at = events.findIndex(({ data }) => data.subarray(32).toString('utf16le').startsWith('dbx'));
  const revoking = (data: Buffer) => {
    const { foreign, dbx } = factsOf(eventLog(events.with(at, variableOf('dbx', data))));
    t.deepEqual(foreign, []);
    return dbx;
  };
  const digests = signatureList(SHA256_LIST, [Buffer.alloc(32, 1), Buffer.alloc(32, 2)]);
  const both = Buffer.concat([digests, signatureList(X509, [OTHER_CERTIFICATE])]);
  t.deepEqual(revoking(both), { entries: 3, sha256: hash(both).toString('hex') });
  const broken = both.subarray(0, both.length - 1);
  t.deepEqual(revoking(broken), { entries: null, sha256: hash(broken).toString('hex') });
  t.false('dbx' in factsOf(eventLog(events.toSpliced(at, 1))), 'what was not measured is not told');
});

test('option ROMs are listed with their place and digest', (t) => {
  const path = Buffer.from('01010600' + '0002' + '01010600' + '0300' + '7fff0400', 'hex');
  const data = Buffer.concat([Buffer.alloc(32), path]);
  const digest = Buffer.alloc(32, 0xab);
  const log = eventLog([{ pcr: 2, type: EVENT.BOOT_SERVICES_DRIVER, data, digest }]);
  t.deepEqual(factsOf(log).optionRoms, [`PCI 2.0/0.3 sha256 ${'ab'.repeat(16)}`]);
});

test('no bytes whatsoever break the parser: they are read, or refused by its code', (t) => {
  const base = good();
  const mutated = fc
    .array(fc.tuple(fc.nat(base.length - 1), fc.nat(255)), { maxLength: 6 })
    .map((changes) => {
      const bytes = Buffer.from(base);
      for (const [at, value] of changes) bytes[at] = value;
      return bytes;
    });
  const cut = fc.nat(base.length).map((length) => base.subarray(0, length));
  const wild = fc
    .uint8Array({ maxLength: 300 })
    .map((bytes) => Buffer.concat([base.subarray(0, 200), bytes]));
  const codes = new Set<string>();
  fc.assert(
    fc.property(fc.oneof(mutated, cut, wild, fc.uint8Array()), (bytes) => {
      try {
        firmwareFacts(bytes, replay(parseEventLog(bytes)), FLEET_KEYS);
        codes.add('read');
      } catch (error) {
        if (!(error instanceof BootwaveError)) throw error;
        codes.add(error.code);
      }
    }),
    { numRuns: 2000 },
  );
  t.deepEqual([...codes].sort(), ['EVENT_LOG_FORGED', 'EVENT_LOG_MALFORMED', 'read']);
});

test('limits hold: bytes, events, banks', (t) => {
  const long = Buffer.concat([good(), Buffer.alloc(EVENT_LOG_LIMITS.bytes)]);
  t.throws(() => parseEventLog(long), { code: 'EVENT_LOG_MALFORMED', message: /bytes/ });
  const many = Array.from({ length: EVENT_LOG_LIMITS.events + 1 }, () => ({
    pcr: 1,
    type: 1,
    data: Buffer.alloc(0),
  }));
  t.throws(() => parseEventLog(eventLog(many)), { code: 'EVENT_LOG_MALFORMED', message: /events/ });
  const banks = Buffer.from(good());
  banks.writeUInt32LE(0xffffffff, 32 + 24);
  t.throws(() => parseEventLog(banks), { code: 'EVENT_LOG_MALFORMED', message: /banks/ });
});
