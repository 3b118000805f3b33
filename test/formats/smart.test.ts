import test from 'ava';
import fc from 'fast-check';
import { smartIn } from '../../formats/smart.ts';

/** smartctl 7.3 of Linux's scsi_debug, abridged; the last one after its TEST bit was set (SPC-5, 7.5.12). */
const SCSI = {
  off: '{"smart_support":{"available":true,"enabled":false},"temperature_warning":{"enabled":false},"smart_status":{"passed":true},"temperature":{"current":38,"drive_trip":65}}',
  on: '{"smart_support":{"available":true,"enabled":true},"temperature_warning":{"enabled":false},"smart_status":{"passed":true},"temperature":{"current":38,"drive_trip":65}}',
  failing:
    '{"smart_support":{"available":true,"enabled":true},"temperature_warning":{"enabled":false},"smart_status":{"passed":false,"scsi":{"asc":93,"ascq":255,"ie_string":"FAILURE PREDICTION THRESHOLD EXCEEDED (FALSE)"}}}',
};
/** The same of a virtio disk. */
const VIRTIO =
  '{"smartctl":{"version":[7,3],"messages":[{"string":"/dev/vda: Unable to detect device type","severity":"error"}],"exit_status":1}}';
const nvme = (warning: number, more = {}) =>
  JSON.stringify({
    smart_status: { passed: warning === 0, nvme: { value: warning } },
    nvme_smart_health_information_log: {
      ...{ critical_warning: warning, temperature: 40, available_spare: 3, percentage_used: 104 },
      ...more,
    },
  });
const ata = (passed: boolean, ...failed: string[]) =>
  JSON.stringify({
    smart_support: { available: true, enabled: true },
    smart_status: { passed },
    ata_smart_attributes: {
      table: failed.map((when, i) => ({ id: i + 5, name: 'Reallocated\u0007', when_failed: when })),
    },
  });

test('a disk says that it fails, that it does not, or nothing; nothing is neither', (t) => {
  t.is(smartIn(SCSI.on).failing, false);
  t.deepEqual(smartIn(SCSI.off), { failing: null, why: 'its SMART is switched off' });
  t.deepEqual(smartIn(SCSI.failing), { failing: true, why: 'it foretells that it fails' });
  t.deepEqual(smartIn(VIRTIO), { failing: null, why: 'it says nothing' });
  t.is(smartIn('{"smart_support":{"available":false},"smart_status":{"passed":true}}').failing, null);
  t.is(smartIn('{"smart_status":{"passed":true}}').failing, null);
  t.is(smartIn(SCSI.failing.replace('"asc":93', '"asc":11')).failing, null, 'it is hot');
  for (const text of ['', 'null', '[]', '7', '{"smart_status":null}', SCSI.failing.slice(0, -1)])
    t.is(smartIn(text).failing, null, text);
});

test('of ATA which attributes are below their threshold now, of NVMe what it warns of, but not of heat', (t) => {
  t.deepEqual(smartIn(ata(false, 'now', 'past', '', 'now')), {
    failing: true,
    why: 'it foretells that it fails: attribute 5, 8 is below its threshold',
  });
  t.is(smartIn(ata(true, 'past')).failing, false);
  t.is(smartIn(nvme(0)).failing, false);
  t.is(smartIn(nvme(2)).failing, false);
  t.deepEqual(smartIn(nvme(0b1011)), {
    failing: true,
    why: 'its spare blocks are nearly used up; it can only be read (spare 3%, used 104%)',
  });
  t.is(smartIn(nvme(4, { percentage_used: 'x' })).failing, true);
  t.is(
    smartIn(nvme(256)).failing,
    true,
    'what is not understood is left out, and smartctl still says that it fails',
  );
});

test('whatever a disk says, the verdict is short and of our own words', (t) => {
  const word = fc.constantFrom(
    ...[
      'smart_support',
      'smart_status',
      'nvme_smart_health_information_log',
      'ata_smart_attributes',
      'table',
    ],
    ...['passed', 'available', 'enabled', 'critical_warning', 'percentage_used', 'id', 'when_failed', 'asc'],
  );
  const { any } = fc.letrec((tie) => ({
    any: fc.oneof(
      ...[fc.constantFrom('now', '\u001b[2J', true, false, null), fc.integer(), fc.string()],
      ...[fc.array(tie('any'), { maxLength: 4 }), fc.dictionary(word, tie('any'), { maxKeys: 5 })],
    ),
  }));
  fc.assert(
    fc.property(
      fc.oneof(
        any.map((value) => JSON.stringify(value)),
        fc.string(),
      ),
      (text) => {
        const { failing, why } = smartIn(text);
        t.true(failing === null || typeof failing === 'boolean');
        t.regex(why, /^[\w ,;:%()]{1,200}$/);
        // Nothing fails, and nothing is well, without a word that says so.
        if (failing !== null) t.regex(text, failing ? /false|critical_warning/ : /true|critical_warning/);
      },
    ),
    { numRuns: 2000 },
  );
});
