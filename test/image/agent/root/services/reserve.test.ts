/** From the order to limits that change at an instant; with a systemd that only notes what it is told. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { limitsWith, markOf } from '../../../../../image/agent/root/services/reserve.ts';
import { changeTexts, dueOf } from '../../../../../image/agent/root/services/reserve-units.ts';
import { instanceId, instanceUnit } from '../../../../../protocol/agent/units.ts';
import type { Reservation } from '../../../../../protocol/reservation.ts';
import { manifestOf } from './any-manifest.ts';
import { makeBundle, released, targetOf } from './bundles.ts';
import { setUp } from './node.ts';

const NAME = 'fleet/web@probe';
const ID = instanceId(NAME);
const UNIT = instanceUnit(ID);
const MIB = 2 ** 20;
const NOON = Date.UTC(2026, 11, 1, 12);
const MINUTE = 60_000;
const RESERVED: Reservation = {
  ...{ slice: 'probe', from: NOON, until: NOON + 60 * MINUTE, cpu: 30, memory: 64 * MIB },
};
const MORE = `set-property ${UNIT} CPUQuota=130% MemoryMax=${128 * MIB}`;
const LESS = `set-property ${UNIT} CPUQuota=100% MemoryMax=${64 * MIB}`;

async function running(t: ExecutionContext) {
  const node = await setUp(t);
  const first = released('fleet/web', '1', await makeBundle(node.folder), manifestOf());
  const other = released(
    'fleet/web',
    '2',
    await makeBundle(node.folder, { more: '/etc/hostname' }),
    manifestOf({ limits: { memory: 32 * MIB, cpu: 50, tasks: 8 } }),
  );
  await node.keys.publish(node.at('handed'), [targetOf(first), targetOf(other)]);
  const order = (one: typeof first) => node.services([{ ...one.service, name: NAME }]);
  order(first);
  await node.fetch(first);
  node.time({ now: NOON - 10 * MINUTE });
  /** What systemd is told from now on. */
  const told = async (...reservations: Reservation[]) => {
    const before = node.said.length;
    node.reserve(reservations);
    const [view] = await node.apply();
    return { view: view!, said: node.said.slice(before) };
  };
  const units = async () => (await readdir(node.at('units'))).filter((file) => dueOf(file) !== null).sort();
  const mark = () => markOf(NAME, { run: node.at('run') });
  return { node, first, other, order, told, units, mark };
}
const timers = (...seconds: number[]) =>
  seconds.map((at) => `bootwave-reserve-${ID}-${at / 1000}.timer`).join(' ');
const [BEGIN, END] = [RESERVED.from, RESERVED.until];

test('the timers are there before; each sets the limits and says when, at its second and with nothing of the agent', async (t) => {
  const { node, told, units } = await running(t);
  await told();
  const { said, view } = await told(RESERVED);
  t.deepEqual(said, ['daemon-reload', `start ${timers(BEGIN, END)}`]);
  t.is(view.share, undefined, 'nothing has changed yet');
  const text = (file: string) => readFile(join(node.at('units'), file), 'utf8');
  const [begin, begins, , ends] = await Promise.all((await units()).map(text));
  t.regex(begins!, new RegExp(`^OnCalendar=@${BEGIN / 1000}\nAccuracySec=1ms$`, 'm'));
  t.regex(ends!, new RegExp(`^OnCalendar=@${END / 1000}$`, 'm'));
  const mark = join(node.at('run'), 'instances', ID, 'share.json');
  t.deepEqual(begin!.split('\n').slice(4), [
    ...['[Service]', 'Type=oneshot', `StandardOutput=truncate:${mark}`],
    `ExecStart=/usr/bin/systemctl set-property --runtime ${UNIT} CPUQuota=130%% MemoryMax=${128 * MIB}`,
    `ExecStart=/usr/bin/date '+{"cpu":130,"memory":${128 * MIB},"since":%%s%%3N}'`,
    '',
  ]);
  t.deepEqual((await told(RESERVED)).said, [`start ${timers(BEGIN, END)}`], 'and nothing is written again');
});

test('a node that comes late, or whose timer did not fire, has it at the next look, once; after the end it is taken back', async (t) => {
  const { node, told, units, mark } = await running(t);
  await told();
  node.time({ now: BEGIN + 5 * MINUTE });
  const { said, view } = await told(RESERVED);
  t.deepEqual(said, [MORE, 'daemon-reload', `start ${timers(END)}`]);
  const share = { cpu: 130, memory: 128 * MIB, since: BEGIN + 5 * MINUTE };
  t.deepEqual(await mark(), share);
  t.deepEqual(view.share, share);
  t.deepEqual((await told(RESERVED)).said, [`start ${timers(END)}`]);
  node.time({ now: END });
  t.deepEqual((await told(RESERVED)).said, [LESS]);
  t.like(await mark(), { cpu: 100, memory: 64 * MIB, since: END });
  t.deepEqual((await told(RESERVED)).said, []);
  t.deepEqual(
    await units(),
    [`bootwave-reserve-${ID}-${END / 1000}.service`, timers(END)],
    'it may be at its work',
  );
  node.time({ now: END + 2 * MINUTE });
  t.deepEqual((await told(RESERVED)).said, [`stop ${timers(END)}`, 'daemon-reload']);
  t.deepEqual(await units(), []);
});

test('what the timer has done is not done again: not a word more, and its moment stays', async (t) => {
  const { node, told } = await running(t);
  await told(RESERVED);
  const mark = { cpu: 130, memory: 128 * MIB, since: BEGIN + 7 };
  await writeFile(join(node.at('run'), 'instances', ID, 'share.json'), JSON.stringify(mark));
  node.time({ now: BEGIN + MINUTE });
  const { said, view } = await told(RESERVED);
  t.deepEqual(said, [`start ${timers(END)}`]);
  t.deepEqual(view.share, mark);
  // A line that was torn is none.
  await writeFile(join(node.at('run'), 'instances', ID, 'share.json'), '{"cpu":1');
  t.deepEqual((await told(RESERVED)).said, [MORE, `start ${timers(END)}`]);
});

test('an order that names it no more ends it at once: timers and limits', async (t) => {
  const { node, told, units, mark } = await running(t);
  await told(RESERVED);
  node.time({ now: BEGIN + MINUTE });
  await told(RESERVED);
  const { said } = await told();
  t.deepEqual(said, [LESS, `stop ${timers(END)}`, 'daemon-reload']);
  t.deepEqual(
    (await units()).filter((file) => dueOf(file)! > BEGIN),
    [],
  );
  t.like(await mark(), { cpu: 100 });
});

test('another version within it is begun by its own manifest, with what is reserved on top; nothing of the former one is left', async (t) => {
  const { node, other, order, told, mark } = await running(t);
  await told(RESERVED);
  node.time({ now: BEGIN + MINUTE });
  await told(RESERVED);
  order(other);
  await node.fetch(other);
  const { said } = await told(RESERVED);
  const revert = said.indexOf(`revert ${UNIT}`);
  const start = said.indexOf(`start ${UNIT}`);
  t.true(revert >= 0 && revert < start, said.join('\n'));
  t.is(said[start + 1], `set-property ${UNIT} CPUQuota=80% MemoryMax=${96 * MIB}`);
  t.like(await mark(), { cpu: 80, memory: 96 * MIB });
  node.services([]);
  node.reserve([]);
  const before = node.said.length;
  await node.apply();
  t.true(node.said.slice(before).includes(`revert ${UNIT}`));
});

test('after a restart of the node within it, the instance has it as soon as it is begun', async (t) => {
  const { node, first, told } = await running(t);
  await told(RESERVED);
  await node.boot();
  await node.fetch(first);
  node.time({ now: BEGIN + MINUTE });
  const { said } = await told(RESERVED);
  t.is(said[said.indexOf(`start ${UNIT}`) + 1], MORE);
});

test('what systemd does not do is said of the instance, keeps nothing else from it, and is tried again', async (t) => {
  const { node, told } = await running(t);
  await told();
  node.time({ now: BEGIN });
  node.fail('set-property');
  const { view } = await told(RESERVED);
  t.like(view, { state: 'running', why: 'its share was not changed: Job failed.', share: undefined });
  node.fail(null);
  t.true((await told(RESERVED)).said.includes(MORE));
});

test('a reservation of another slice changes nothing here, and the services of the fleet have none', async (t) => {
  const { node, first, told, units } = await running(t);
  await told();
  node.time({ now: BEGIN });
  t.deepEqual((await told({ ...RESERVED, slice: 'other' })).said, []);
  t.deepEqual(await units(), []);
  node.services([first.service]);
  await told(RESERVED);
  t.false(node.said.some((line) => line.startsWith('set-property')));
});

const limitArb = fc.record({
  cpu: fc.integer({ min: 1, max: 100_000 }),
  memory: fc.integer({ min: 2 ** 22, max: 2 ** 45 }),
});

test('any services: together they get no more than is reserved, none less than its manifest says, and no word of text', (t) => {
  fc.assert(
    fc.property(
      fc.array(limitArb, { minLength: 1, maxLength: 32 }),
      fc.record({ cpu: fc.integer({ min: 0, max: 100_000 }), memory: fc.integer({ min: 0, max: 2 ** 50 }) }),
      (all, extra) => {
        const records = all.map((limits, i) => ({ name: `fleet/s${i}@probe`, limits }));
        const got = limitsWith(extra, records);
        for (const part of ['cpu', 'memory'] as const) {
          let more = 0;
          for (const { name, limits } of records) {
            const here = got.get(name)![part] - limits[part];
            if (here < 0) t.fail('less than its own');
            more += here;
          }
          if (more > extra[part]) t.fail('more than is reserved');
          if (more < extra[part] - records.length) t.fail('some of it is lost');
        }
        for (const text of changeTexts(ID, NOON, got.get('fleet/s0@probe')!, '/run/x').values())
          if (/[^%]%(?![%])(?!$)/m.test(text.replaceAll('%%', ''))) t.fail(text);
      },
    ),
    { numRuns: 200 },
  );
  t.pass();
});
