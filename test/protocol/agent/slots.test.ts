import test from 'ava';
import fc from 'fast-check';
import { planActivate } from '../../../image/agent/root/release/activate.ts';
import { boot, nextBoot } from '../../../image/agent/root/release/choice.ts';
import { planConfirm } from '../../../image/agent/root/release/confirm.ts';
import {
  ESP_RESERVE,
  lastGood,
  leftovers,
  MOST_IMAGES,
  parseSlot,
  planStage,
  protectedFiles,
  readSlots,
  slotName,
} from '../../../protocol/agent/slots.ts';

const SIZE = 100_000_000;
const of = (...names: string[]) => readSlots(names.map((name) => ({ name, size: SIZE })));
const facts = { version: '9', size: SIZE, running: '1', free: 10 * SIZE, cluster: 4096 };

test('names are read as the Boot Loader Specification counts boots', (t) => {
  const read = (name: string) => {
    const slot = parseSlot({ name, size: 1 });
    return slot && [slot.version, slot.state, slot.triesLeft, slot.triesDone];
  };
  t.deepEqual(read('bootwave_1.4.0.efi'), ['1.4.0', 'good', null, null]);
  t.deepEqual(read('bootwave_1.4.0~rc1-2+3.efi'), ['1.4.0~rc1-2', 'trying', 3, 0]);
  t.deepEqual(read('bootwave_2+2-1.efi'), ['2', 'trying', 2, 1]);
  t.deepEqual(read('bootwave_2+0-3.efi'), ['2', 'failed', 0, 3]);
  t.deepEqual(read('bootwave_2+0.efi'), ['2', 'failed', 0, 0]);
  for (const name of [
    'bootwave_2+3.efi.part',
    'bootwave_.efi',
    'other_1.efi',
    'bootwave_1+x.efi',
    'bootwave_1+3-.efi',
  ])
    t.is(read(name), null, name);
});

test('any name is read without a fault, and what is read is written the same way', (t) => {
  fc.assert(
    fc.property(fc.string(), (name) => {
      parseSlot({ name: `bootwave_${name}.efi`, size: 0 });
    }),
  );
  const version = fc.stringMatching(/^[0-9a-z]([0-9a-z.~-]{0,10}[0-9a-z])?$/);
  const tries = fc.option(fc.record({ left: fc.nat(9), done: fc.nat(9) }));
  fc.assert(
    fc.property(version, tries, (version, tries) => {
      const slot = parseSlot({ name: slotName(version, tries), size: 1 });
      t.is(slot?.version, version);
      t.is(slot?.triesLeft ?? null, tries?.left ?? null);
      t.is(slot?.triesDone ?? null, tries?.done ?? null);
    }),
  );
});

test('the newest good one is what the node falls back to, in systemd order', (t) => {
  t.is(lastGood(of('bootwave_1.9.efi', 'bootwave_1.10.efi', 'bootwave_1.11+1-2.efi'))?.version, '1.10');
  t.is(lastGood(of('bootwave_2.0~rc1.efi', 'bootwave_2.0.efi'))?.version, '2.0');
  t.is(lastGood(of('bootwave_2+0-3.efi')), null);
});

test('partial copies and emptied second names go; nothing else', (t) => {
  const files = [
    { name: 'bootwave_2+3.efi.part', size: 7 },
    { name: 'bootwave_1.efi', size: 7 },
    { name: 'bootwave_3+0.efi', size: 0 },
    { name: 'windows.efi', size: 0 },
  ];
  t.deepEqual(leftovers(files), ['bootwave_2+3.efi.part', 'bootwave_3+0.efi']);
});

test('room is made by what failed, then by what was never blessed, then by the oldest good one', (t) => {
  const dropped = (...names: string[]) => {
    const plan = planStage(of(...names), { ...facts, running: '5' });
    return plan.kind === 'write' ? plan.drop.map(({ file }) => file) : [];
  };
  t.deepEqual(dropped('bootwave_5.efi', 'bootwave_4.efi'), []);
  t.deepEqual(dropped('bootwave_5.efi', 'bootwave_4.efi', 'bootwave_3.efi'), ['bootwave_3.efi']);
  t.deepEqual(dropped('bootwave_5.efi', 'bootwave_4.efi', 'bootwave_8+0-3.efi'), ['bootwave_8+0-3.efi']);
  t.deepEqual(dropped('bootwave_5.efi', 'bootwave_4.efi', 'bootwave_6+3.efi'), ['bootwave_6+3.efi']);
  t.deepEqual(dropped('bootwave_5.efi', 'bootwave_9+0-3.efi'), ['bootwave_9+0-3.efi']);
});

test('no room is said before anything is given up', (t) => {
  const slots = of('bootwave_1.efi', 'bootwave_0.efi');
  t.is(planStage(slots, { ...facts, free: ESP_RESERVE }).kind, 'write');
  const error = t.throws(() => planStage(of('bootwave_1.efi'), { ...facts, free: ESP_RESERVE }));
  t.is((error as { code?: string }).code, 'STAGE_NO_SPACE');
});

const counter = fc.constantFrom('', '+3', '+2-1', '+1-2', '+0-3', '+0');
const esp = fc
  .uniqueArray(fc.record({ version: fc.integer({ min: 1, max: 6 }), counter }), {
    selector: ({ version }) => version,
    minLength: 1,
    maxLength: 5,
  })
  .map((found) => of(...found.map(({ version, counter }) => `bootwave_${version}${counter}.efi`)));

test('staging never gives up the running or the last good image, and never leaves more than three', (t) => {
  fc.assert(
    fc.property(esp, fc.integer({ min: 1, max: 7 }), fc.nat(5), fc.nat(4), (slots, version, pick, room) => {
      const running = slots[pick % slots.length]!.version;
      const kept = protectedFiles(slots, running);
      const free = room * SIZE + ESP_RESERVE + 1_000_000;
      try {
        const plan = planStage(slots, { version: String(version), size: SIZE, running, free, cluster: 4096 });
        if (plan.kind === 'present') return;
        t.true(plan.drop.every(({ file }) => !kept.has(file)));
        t.true(slots.length - plan.drop.length + 1 <= MOST_IMAGES);
        t.false(
          slots.some(({ file }) => file === plan.file && !plan.drop.some((slot) => slot.file === file)),
        );
      } catch (error) {
        t.regex((error as { code: string }).code, /^STAGE_(NO_SPACE|PROTECTED)$/);
      }
    }),
  );
});

test('systemd-boot: tries count down, what is used up comes last, and is started when nothing else is left', (t) => {
  let files = [
    { name: 'bootwave_1.efi', size: 1 },
    { name: 'bootwave_2+3.efi', size: 1 },
  ];
  const started: string[] = [];
  for (let i = 0; i < 5; i += 1) {
    const next = boot(files);
    started.push(next.started!.file);
    files = next.files;
  }
  t.deepEqual(started, [
    'bootwave_2+3.efi',
    'bootwave_2+2-1.efi',
    'bootwave_2+1-2.efi',
    'bootwave_1.efi',
    'bootwave_1.efi',
  ]);
  t.is(nextBoot(of('bootwave_1+0-3.efi', 'bootwave_2+0.efi'))?.version, '2');
  t.is(nextBoot([]), null);
});

const activation = { running: '2', fromDisk: true, pinned: null };

test('after activate the next boot starts the version, and a good one stays to fall back to when there was one', (t) => {
  fc.assert(
    fc.property(esp, fc.nat(5), fc.nat(5), (slots, pick, runs) => {
      const { version } = slots[pick % slots.length]!;
      const running = slots[runs % slots.length]!.version;
      try {
        const plan = planActivate(slots, { version, running, fromDisk: true, pinned: null });
        if (plan.kind === 'running') {
          t.is(version, running);
          return;
        }
        let names = slots.map(({ file }) => file);
        for (const { from, to } of plan.renames) {
          names = names.map((name) => (name === from ? to : name));
          t.is(new Set(names).size, slots.length, 'no two files become one');
          t.not(nextBoot(of(...names)), null);
        }
        t.is(nextBoot(of(...names))?.version, version);
      } catch (error) {
        t.is((error as { code: string }).code, 'ACTIVATE_FAILED_BEFORE');
        t.is(slots.find((slot) => slot.version === version)?.state, 'failed');
      }
    }),
  );
});

test('an older image is started by demoting the newer one to +0', (t) => {
  const plan = planActivate(of('bootwave_1.efi', 'bootwave_2.efi'), { ...activation, version: '1' });
  t.deepEqual(plan.kind === 'restart' && plan.renames, [{ from: 'bootwave_2.efi', to: 'bootwave_2+0.efi' }]);
});

test('what makes systemd-boot ignore its counters stops an activation', (t) => {
  const slots = of('bootwave_2.efi', 'bootwave_3+3.efi');
  const error = t.throws(() =>
    planActivate(slots, { ...activation, version: '3', pinned: 'LoaderEntryDefault' }),
  );
  t.is((error as { code?: string }).code, 'ACTIVATE_PINNED');
  const missing = t.throws(() => planActivate(slots, { ...activation, version: '4' }));
  t.is((missing as { code?: string }).code, 'ACTIVATE_NOT_STAGED');
});

test('only a healthy image that was started from the disk is blessed, by losing its counter', (t) => {
  const slots = of('bootwave_1.efi', 'bootwave_2+2-1.efi');
  const well = { running: '2', fromDisk: true, healthy: true };
  const plan = planConfirm(slots, well);
  t.deepEqual(plan.kind === 'bless' && plan.rename, { from: 'bootwave_2+2-1.efi', to: 'bootwave_2.efi' });
  t.is(planConfirm(of('bootwave_1.efi', 'bootwave_2+0-3.efi'), well).kind, 'bless', 'the last try counts');
  for (const change of [{ healthy: false }, { fromDisk: false }, { running: '1' }, { running: '7' }])
    t.is(planConfirm(slots, { ...well, ...change }).kind, 'nothing', JSON.stringify(change));
  t.is(planConfirm(of('bootwave_1.efi', 'bootwave_2+0.efi'), well).kind, 'nothing', 'demoted');
  t.is(planConfirm(of('bootwave_1+0-3.efi', 'bootwave_2+0.efi'), well).kind, 'bless', 'nothing else is left');
});
