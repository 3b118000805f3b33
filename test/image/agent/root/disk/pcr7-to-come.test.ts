import { createHash, randomBytes } from 'node:crypto';
import test from 'ava';
import fc from 'fast-check';
import { EVENT, parseEventLog, replay } from '../../../../../formats/efi/event-log.ts';
import { pcr7ToCome } from '../../../../../image/agent/root/disk/pcr7-to-come.ts';
import {
  authority,
  eventLog,
  FLEET_KEYS,
  keyEvents,
  OTHER_CERTIFICATE,
  type Written,
} from '../../../../bootserver/enroll/support/event-log.ts';

const pcr7Of = (log: Buffer) => replay(parseEventLog(log))['7']!;
const GUID = Buffer.alloc(16, 0x8b);
const u64 = (value: number) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const holding = (name: string, content: Buffer): Written => ({
  pcr: 7,
  type: EVENT.VARIABLE_DRIVER_CONFIG,
  data: Buffer.concat([GUID, u64(name.length), u64(content.length), Buffer.from(name, 'utf16le'), content]),
});

/** A start, with these lists in the place of the usual ones. */
function start(lists: { db?: Buffer; dbx?: Buffer }): Buffer {
  const events = keyEvents().map((event, i) => {
    const name = (['db', 'dbx'] as const)[i - 3];
    const content = name === undefined ? undefined : lists[name];
    return content === undefined ? event : holding(name!, content);
  });
  return eventLog([
    { pcr: 0, type: 8, data: Buffer.from('firmware') },
    ...events,
    authority(FLEET_KEYS.db[0]!),
  ]);
}

test('what is foretold is what the firmware measures at the next start with these lists', (t) => {
  const bytes = fc.uint8Array({ maxLength: 300 }).map((data) => Buffer.from(data));
  const lists = fc.record({ db: bytes, dbx: bytes }, { requiredKeys: [] });
  fc.assert(
    fc.property(lists, lists, (before, change) => {
      const log = start(before);
      const then = start({ ...before, ...change });
      t.is(pcr7ToCome(log, pcr7Of(log), change)?.toString('hex'), pcr7Of(then));
    }),
  );
});

test('nothing is foretold from a log that did not lead here, or that does not show the list', (t) => {
  const log = start({});
  const dbx = randomBytes(76);
  const other = createHash('sha256').update('other').digest('hex');
  t.is(pcr7ToCome(log, other, { dbx }), null);
  const without = eventLog(keyEvents().filter((_, i) => i !== 4));
  t.is(pcr7ToCome(without, pcr7Of(without), { dbx }), null);
  t.is(pcr7ToCome(log.subarray(0, -1), pcr7Of(log), { dbx }), null);
  t.is(pcr7ToCome(Buffer.alloc(0), pcr7Of(log), { dbx }), null);
});

test('a firmware that measures more than the structure is not foretold; one that only writes more is', (t) => {
  const dbx = randomBytes(76);
  const longer = (digest: (data: Buffer) => Partial<Written>) =>
    eventLog(
      keyEvents().map((event) => ({
        ...event,
        ...digest(event.data),
        data: Buffer.concat([event.data, Buffer.alloc(4)]),
      })),
    );
  const measured = longer(() => ({}));
  t.is(pcr7ToCome(measured, pcr7Of(measured), { dbx }), null);
  const written = longer((data) => ({ digest: createHash('sha256').update(data).digest() }));
  const then = eventLog(keyEvents().with(4, holding('dbx', dbx)));
  t.is(pcr7ToCome(written, pcr7Of(written), { dbx })?.toString('hex'), pcr7Of(then));
});

test('no event of PCR 7 makes it fail', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (data) => {
      const log = eventLog([
        { pcr: 7, type: EVENT.VARIABLE_DRIVER_CONFIG, data: Buffer.from(data) },
        ...keyEvents(),
      ]);
      t.notThrows(() => pcr7ToCome(log, pcr7Of(log), { dbx: Buffer.from('x') }));
    }),
  );
});

/** EFI_SIGNATURE_DATA, as the helper above writes it. */
const entryOf = (der: Uint8Array) => Buffer.concat([Buffer.alloc(16, 0x0e), der]);
const [OLD, NEW] = [FLEET_KEYS.db[0]!, OTHER_CERTIFICATE];
const KNOWN = [OLD, NEW].map(entryOf);
/** A start in which these certificates let something run, each measured once. */
const startedBy = (...signers: Uint8Array[]) => eventLog([...keyEvents(), ...signers.map(authority)]);

test('who lets loader and image run is foretold as the firmware measures it: each certificate once', (t) => {
  const started = fc.constantFrom([OLD], [NEW], [OLD, NEW], [NEW, OLD]);
  const next = fc.tuple(fc.constantFrom(OLD, NEW), fc.constantFrom(OLD, NEW));
  fc.assert(
    fc.property(started, next, (before, [loader, image]) => {
      const log = startedBy(...before);
      const then = loader === image ? startedBy(loader) : startedBy(loader, image);
      const signers = { next: [loader, image].map(entryOf), known: KNOWN };
      t.is(pcr7ToCome(log, pcr7Of(log), {}, signers)?.toString('hex'), pcr7Of(then));
    }),
  );
});

test('what others let run, and what no one is measured for, stays as it is', (t) => {
  const card = Buffer.alloc(40, 1);
  const signers = { next: [NEW, NEW].map(entryOf), known: KNOWN };
  const [log, then] = [startedBy(card, OLD), startedBy(card, NEW)];
  t.is(pcr7ToCome(log, pcr7Of(log), {}, signers)?.toString('hex'), pcr7Of(then));
  const silent = startedBy();
  t.is(pcr7ToCome(silent, pcr7Of(silent), {}, signers)?.toString('hex'), pcr7Of(silent));
});

test('a list and a signer that change at once are foretold together', (t) => {
  const db = randomBytes(76);
  const log = startedBy(OLD, NEW);
  const events = keyEvents().with(3, holding('db', db));
  const then = eventLog([...events, authority(NEW)]);
  const signers = { next: [NEW, NEW].map(entryOf), known: KNOWN };
  t.is(pcr7ToCome(log, pcr7Of(log), { db }, signers)?.toString('hex'), pcr7Of(then));
});
