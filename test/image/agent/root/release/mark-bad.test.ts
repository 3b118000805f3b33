import test from 'ava';
import fc from 'fast-check';
import { boot, nextBoot } from '../../../../../image/agent/root/release/choice.ts';
import { type MarkBadFacts, markBad, planMarkBad } from '../../../../../image/agent/root/release/mark-bad.ts';
import { lastGood, readSlots } from '../../../../../protocol/agent/slots.ts';
import { PowerCut, Volume } from './volume.ts';

const of = (...names: string[]) => readSlots(names.map((name) => ({ name, size: 1 })));
const onTrial: MarkBadFacts = {
  running: '2',
  fromDisk: true,
  counted: 'bootwave_2+2-1.efi',
  wasHealthy: false,
};
const slots = of('bootwave_1.efi', 'bootwave_2+2-1.efi');

test('the tries are taken off the image that runs on trial, and the boots that it had stay in its name', (t) => {
  t.deepEqual(planMarkBad(slots, onTrial), {
    kind: 'bad',
    rename: { from: 'bootwave_2+2-1.efi', to: 'bootwave_2+0-1.efi' },
  });
  const second = { ...onTrial, counted: 'bootwave_2+1-2.efi' };
  t.like(planMarkBad(of('bootwave_1.efi', 'bootwave_2+1-2.efi'), second), {
    rename: { to: 'bootwave_2+0-2.efi' },
  });
});

test('a good image, and one that was not started from the disk on trial, keep their names', (t) => {
  const reasonOf = (files: string[], more: Partial<MarkBadFacts>) => {
    const plan = planMarkBad(of(...files), { ...onTrial, ...more });
    return plan.kind === 'nothing' ? plan.reason : plan.rename.to;
  };
  const both = ['bootwave_1.efi', 'bootwave_2+2-1.efi'];
  t.is(reasonOf(both, { fromDisk: false }), 'not on trial');
  t.is(reasonOf(both, { counted: null }), 'not on trial');
  t.is(reasonOf(both, { wasHealthy: true }), 'healthy before', 'its blessing did not reach the disk');
  t.is(reasonOf(['bootwave_1.efi', 'bootwave_2.efi'], {}), 'good', 'blessed since it was started');
  t.is(reasonOf([...both, 'bootwave_2.efi'], {}), 'good', 'both names of a rename that was cut');
  t.is(reasonOf(both, { running: '1' }), 'good');
  t.is(reasonOf(both, { running: '3' }), 'not on disk');
  t.is(reasonOf(['bootwave_1.efi', 'bootwave_2+3.efi'], {}), 'not on disk', 'staged anew: not what runs');
  const third = ['bootwave_1.efi', 'bootwave_2+0-3.efi'];
  t.is(reasonOf(third, { counted: 'bootwave_2+0-3.efi' }), 'no tries left');
});

test('where no good image is left, the tries stay', (t) => {
  const plan = planMarkBad(of('bootwave_1+0-3.efi', 'bootwave_2+2-1.efi', 'bootwave_3+0.efi'), onTrial);
  t.deepEqual(plan, { kind: 'nothing', reason: 'no other is good' });
});

const counter = fc.constantFrom('', '+3', '+2-1', '+1-2', '+0-3', '+0');
const esp = fc
  .uniqueArray(fc.record({ version: fc.integer({ min: 1, max: 6 }), counter }), {
    selector: ({ version }) => version,
    minLength: 1,
    maxLength: 5,
  })
  .map((found) =>
    found.map(({ version, counter }) => ({ name: `bootwave_${version}${counter}.efi`, size: 1 })),
  );

test('whatever is on the disk, the next boot is of another image, and no good one is touched', (t) => {
  let marked = 0;
  fc.assert(
    fc.property(esp, fc.boolean(), (before, wasHealthy) => {
      const { started, files } = boot(before);
      const at = before.findIndex(({ name }) => name === started!.file);
      const counted = started!.triesLeft === null ? null : files[at]!.name;
      const facts = { running: started!.version, fromDisk: true, counted, wasHealthy };
      const plan = planMarkBad(readSlots(files), facts);
      if (plan.kind === 'nothing') return;
      marked += 1;
      t.is(counted, plan.rename.from);
      const after = files.map((file) => (file.name === counted ? { ...file, name: plan.rename.to } : file));
      t.not(nextBoot(readSlots(after))?.version, started!.version);
      t.deepEqual(lastGood(readSlots(after)), lastGood(readSlots(before)));
      t.not(lastGood(readSlots(after)), null);
      const again = planMarkBad(readSlots(after), { ...facts, counted: plan.rename.to });
      t.deepEqual(again, { kind: 'nothing', reason: 'no tries left' });
    }),
  );
  t.true(marked > 0);
});

test('a power cut in the middle leaves what can be started, and it can be done again', async (t) => {
  for (const chance of [0, 0.5, 0.9]) {
    const esp = new Volume(1e6);
    esp.put('bootwave_1.efi', Buffer.from('one'));
    esp.put('bootwave_2+2-1.efi', Buffer.from('two'));
    esp.cutAfter(0, chance);
    await t.throwsAsync(markBad(esp, onTrial), { instanceOf: PowerCut });
    t.deepEqual([...esp.touched], ['bootwave_2+2-1.efi']);
    esp.restart();
    const { started, files } = boot(await esp.list());
    t.true(esp.content(started!.file)!.length > 0);
    // It was started again, or the good one was at once.
    if (started!.version === '1') continue;
    await esp.rename(started!.file, files.find(({ name }) => name.startsWith('bootwave_2+'))!.name);
    await markBad(esp, { ...onTrial, counted: 'bootwave_2+1-2.efi' });
    t.is(nextBoot(readSlots(await esp.list()))?.version, '1');
  }
});
