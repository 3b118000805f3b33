import { createHash } from 'node:crypto';
import test from 'ava';
import { GENESIS } from '../../../../orchestrator/fleet/audit/chain.ts';
import { exportPage, type Place, verifyExport } from '../../../../orchestrator/fleet/audit/export.ts';
import { fleetFor } from '../support.ts';

async function exported(t: Parameters<typeof fleetFor>[0], n: number) {
  const { fleet } = await fleetFor(t);
  for (let i = 1; i <= n; i += 1)
    await fleet.audit.append({ at: i, actor: 'test', action: 'note', reason: `"${i}"\n\u2028 Ü` });
  const lines: string[] = [];
  // Pages that are smaller than the history, and of which the last one may be empty.
  for (let from: Place | null = { ...GENESIS, key: '0-0' }, first = true; from !== null; first = false) {
    const page: Awaited<ReturnType<typeof exportPage>> = await exportPage(fleet.audit, from, first, 2);
    lines.push(...page.lines);
    from = page.next;
  }
  return lines;
}

test('an export is checked by nothing but itself', async (t) => {
  const lines = await exported(t, 5);
  t.is(lines.length, 7);
  t.like(await verifyExport(lines), { fault: null, first: { seq: 0 }, last: { seq: 5 } });
  t.like(await verifyExport(await exported(t, 0)), { fault: null, last: { seq: 0 } });
});

test('the hash is what the page says, made here with other means', async (t) => {
  const sha = (data: Buffer) => createHash('sha256').update(data).digest();
  let hash = Buffer.alloc(32);
  for (const [i, line] of (await exported(t, 4)).slice(1, -1).entries()) {
    const { entry, hash: written } = JSON.parse(line) as { entry: string; hash: string };
    const number = Buffer.from((i + 1).toString(16).padStart(16, '0'), 'hex');
    hash = Buffer.from(sha(Buffer.concat([hash, number, sha(Buffer.from(entry, 'utf8'))])));
    t.is(hash.toString('hex'), written);
  }
});

test('a file of which anything was changed, taken out, moved or cut off is refused', async (t) => {
  const lines = await exported(t, 5);
  const judged = async (change: string[]) => (await verifyExport(change)).fault;
  t.like(await judged(lines.with(3, lines[3]!.replace('note', 'nope'))), { seq: 3, kind: 'changed' });
  t.like(await judged(lines.toSpliced(3, 1)), { seq: 3, kind: 'missing' });
  t.like(await judged(lines.toSpliced(3, 2, lines[4]!, lines[3]!)), { seq: 3, kind: 'missing' });
  t.like(await judged(lines.toSpliced(3, 0, lines[3]!)), { seq: 4, kind: 'misplaced' });
  t.like(await judged(lines.slice(0, -1)), { seq: 6, kind: 'cut' });
  t.like(await judged(lines.toSpliced(5, 1)), { seq: 5, kind: 'cut' });
  t.like(await judged([...lines, lines[3]!]), { kind: 'misplaced' });
  t.like(await judged(lines.with(3, 'x')), { seq: 3, kind: 'unchained' });
  for (const nothing of [[], ['x'], lines.slice(1)]) t.like(await judged(nothing), { kind: 'unchained' });
});
