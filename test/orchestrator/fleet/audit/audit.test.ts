import test from 'ava';
import type { AuditRecord } from '../../../../orchestrator/fleet/audit/entry.ts';
import { KEYS } from '../../../../orchestrator/fleet/keys.ts';
import { enrolment, fleetFor } from '../support.ts';

const entry = (n: number, node?: string) => ({
  at: n,
  actor: 'test',
  action: 'note',
  reason: `${n}`,
  ...(node === undefined ? {} : { node }),
});
const reasons = (entries: AuditRecord[]) => entries.map(({ reason }) => Number(reason));
const upTo = (n: number) => Array.from({ length: n }, (_, i) => i);

test('the history is read whole, by its end, by node and by time, over any number of pages', async (t) => {
  const { fleet } = await fleetFor(t);
  for (let i = 0; i < 12; i += 1) {
    await fleet.audit.append(...upTo(100).map((n) => entry(i * 100 + n, n % 2 === 0 ? 'even' : undefined)));
  }
  t.deepEqual(reasons(await fleet.audit.read()), upTo(1200));
  t.deepEqual(reasons(await fleet.audit.read({ last: 3 })), [1197, 1198, 1199]);
  t.deepEqual(
    reasons(await fleet.audit.read({ node: 'even' })),
    upTo(600).map((n) => 2 * n),
  );
  t.deepEqual(reasons(await fleet.audit.read({ node: 'even', last: 2 })), [1196, 1198]);
  t.deepEqual(await fleet.audit.read({ node: 'nobody' }), []);
  t.deepEqual(await fleet.audit.read({ since: Date.now() + 60_000 }), []);
  t.is((await fleet.audit.read({ since: Date.now() - 600_000 })).length, 1200);
});

test('a follower asks for what lies behind the last entry that it has seen, and misses and repeats none', async (t) => {
  const { fleet } = await fleetFor(t);
  await fleet.audit.append(entry(0));
  const seen = reasons(await fleet.audit.read());
  let after = (await fleet.audit.read()).at(-1)!.key;
  t.deepEqual(await fleet.audit.read({ after }), []);
  const writing = (async () => {
    for (let n = 1; n <= 20; n += 1) await fleet.audit.append(entry(n));
  })();
  while (seen.length < 21) {
    const fresh = await fleet.audit.read({ after });
    seen.push(...reasons(fresh));
    after = fresh.at(-1)?.key ?? after;
  }
  await writing;
  t.deepEqual(seen, upTo(21));
});

test('texts from the wire cannot break an entry', async (t) => {
  const { fleet, directory } = await fleetFor(t);
  const odd = 'lone \ud800 surrogate "quotes" \\ \u2028';
  await directory.enrol({ ...enrolment(1), address: odd });
  await directory.refused({ code: 'X', what: odd, from: odd, id: enrolment(1).id });
  t.is((await fleet.audit.read({ node: enrolment(1).id })).at(-1)?.detail?.from, odd);
  t.is((await fleet.nodes.get(enrolment(1).id))?.observed.address, odd);
});

test('what is no entry is shown as that, and hides none of the others', async (t) => {
  const { fleet, redis } = await fleetFor(t);
  await fleet.audit.append(entry(0));
  for (const fields of [
    ['entry', '{"at":1'],
    ['entry', '[]', 'seq', 'x'],
    ['other', 'field'],
  ])
    await redis.xadd(KEYS.audit, '*', ...fields);
  await fleet.audit.append(entry(1));
  const all = await fleet.audit.read();
  t.deepEqual(
    all.map(({ action }) => action),
    ['note', 'unreadable', 'unreadable', 'unreadable', 'note'],
  );
  t.true(all.every(({ seq, at }) => Number.isSafeInteger(seq) && at >= 0));
});
