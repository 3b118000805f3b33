import test from 'ava';
import {
  afterBoot,
  beginTrial,
  blessed,
  forgive,
  MOST_ATTEMPTS,
  NO_RECORD,
  noteUnhealthy,
  recordSchema,
  refusalOf,
} from '../../../../../image/agent/member/release/failures.ts';
import { readSlots } from '../../../../../protocol/agent/slots.ts';

const of = (...names: string[]) => readSlots(names.map((name) => ({ name, size: 1 })));
const fellBack = {
  running: '1',
  bootId: 'after',
  slots: of('bootwave_1.efi', 'bootwave_2+0-3.efi'),
  fromDisk: true,
  now: 5,
};
const tried = beginTrial(NO_RECORD, '2', 'before');

test('a version that was tried while another one runs now is refused, with what is known of why', (t) => {
  const record = afterBoot(tried, fellBack);
  t.deepEqual(
    record.refused.map(({ version, attempts, at }) => [version, attempts, at]),
    [['2', 1, 5]],
  );
  t.regex(refusalOf(record, '2') ?? '', /none of 3 boots reached the agent/);
  t.deepEqual(afterBoot(record, fellBack), record, 'looked at twice, told once');
  const unwell = afterBoot(noteUnhealthy(tried, '2', 'no route\nto the boot server'), fellBack);
  t.regex(refusalOf(unwell, '2') ?? '', /became healthy: no route to the boot server/);
  t.true(recordSchema.safeParse(unwell).success);
});

test('without its record the disk still says what failed; a demoted image did not fail', (t) => {
  t.not(refusalOf(afterBoot(NO_RECORD, fellBack), '2'), null);
  const demoted = { ...fellBack, slots: of('bootwave_1.efi', 'bootwave_2+0.efi') };
  t.is(refusalOf(afterBoot(NO_RECORD, demoted), '2'), null);
});

test('the trial goes on while it runs, and in the boot that asked for it', (t) => {
  const slots = of('bootwave_1.efi', 'bootwave_2+2-1.efi');
  t.deepEqual(afterBoot(tried, { ...fellBack, running: '2', slots }), tried);
  t.deepEqual(afterBoot(tried, { ...fellBack, bootId: 'before', slots }), tried);
  t.deepEqual(blessed(tried, '2'), NO_RECORD);
});

test('activations that never end in a blessing are counted and capped', (t) => {
  let record = NO_RECORD;
  for (let i = 0; i < MOST_ATTEMPTS; i += 1) {
    t.is(refusalOf(record, '2'), null);
    record = beginTrial(record, '2', `boot ${i}`);
    t.is(beginTrial(record, '2', `boot ${i}`), record, 'asked twice in one boot, counted once');
  }
  t.not(refusalOf(record, '2'), null);
});

test('an order forgives once: what fails again is refused again, whatever is asked under that order', (t) => {
  const pardoned = forgive(afterBoot(tried, fellBack), ['2'], 7);
  t.is(refusalOf(pardoned, '2'), null);
  t.is(refusalOf(afterBoot(pardoned, fellBack), '2'), null, 'the old failure on the disk is forgiven, too');
  const again = afterBoot(beginTrial(pardoned, '2', 'later'), { ...fellBack, bootId: 'latest' });
  t.not(refusalOf(again, '2'), null);
  t.not(refusalOf(forgive(again, ['2'], 7), '2'), null);
  t.is(refusalOf(forgive(again, ['2'], 8), '2'), null);
});

test('a node that went to the network instead says nothing of an image that nobody started', (t) => {
  const fromNetwork = { ...fellBack, fromDisk: false, slots: of('bootwave_1.efi', 'bootwave_2+3.efi') };
  const record = afterBoot(tried, fromNetwork);
  t.is(record.trial, null);
  t.is(refusalOf(record, '2'), null);
  const begun = { ...fromNetwork, slots: of('bootwave_1.efi', 'bootwave_2+2-1.efi') };
  t.regex(
    refusalOf(afterBoot(tried, begun), '2') ?? '',
    /did not boot from its disk/,
    'this one was started',
  );
});

test('an image that was refused at its first boot is told like one whose tries are used up, with the reason', (t) => {
  const once = { ...fellBack, slots: of('bootwave_1.efi', 'bootwave_2+0-1.efi') };
  const why = (record: typeof tried) => refusalOf(afterBoot(record, once), '2');
  t.is(
    why(noteUnhealthy(tried, '2', 'refused: PCR 11 is wrong')),
    'its only boot did not become healthy: refused: PCR 11 is wrong',
  );
  t.is(why(tried), 'its only boot did not become healthy', 'its last words were lost: it reached the agent');
  t.is(why(NO_RECORD), 'its only boot did not become healthy', 'all records were lost');
  const still = { ...once, running: '2', bootId: 'trial' };
  t.deepEqual(
    afterBoot(tried, still),
    tried,
    'an agent that starts again before the restart says nothing yet',
  );
  const network = { ...once, fromDisk: false };
  t.regex(refusalOf(afterBoot(noteUnhealthy(tried, '2', 'PCR 11'), network), '2') ?? '', /PCR 11/);
});
