/**
 * One member of a rollout says anything: any answer to `status` that the link's schema lets pass, any refusal, anything it has not
 * done. The others are honest, and none of them notices.
 */
import test from 'ava';
import fc from 'fast-check';
import { blameOfNode } from '../../../orchestrator/causes/refusal.ts';
import type { EngineEvent } from '../../../orchestrator/rollout/event.ts';
import { ENDED } from '../../../orchestrator/rollout/record.ts';
import { reportOf } from '../../../orchestrator/rollout/run/report.ts';
import { INSTANCE_STATES } from '../../../protocol/agent/services.ts';
import { OPS, type Status } from '../../../protocol/link/messages.ts';
import { fleetOf } from './fleet.ts';
import { Script } from './script.ts';

/** More where there is time: ATTACK_RUNS=5000. */
const RUNS = Number(process.env.ATTACK_RUNS ?? 150);
const COUNT = 6;
const TICK = 10;
/** Seconds, simulated, of which it says something. */
const TALKS = 1_200;
/** Seconds, simulated, after which people say what becomes of it: the canary is baked, the rest is not. */
const MIDDLE = 200;
/** Seconds, simulated, within which all of it has ended, with every limit of the spec spent on it. */
const ENDS = 24 * 3600;

const hex = fc.constantFrom('a'.repeat(64), '0'.repeat(64));
const text = fc.oneof(fc.constantFrom('', 'it smells'), fc.string({ maxLength: 20, unit: 'grapheme' }));
const version = fc.oneof(fc.constantFrom('1.0', '2.0', '3.0', ''), fc.string({ maxLength: 10 }));
const count = fc.oneof(fc.integer({ min: 0, max: 30 }), fc.nat(), fc.constant(Number.MAX_SAFE_INTEGER));
const boot = fc.constantFrom('n00000-boot-0', 'n00000-boot-1', 'n00001-boot-0', 'n00001-boot-1', 'x', '');
const slot = fc.record({
  version,
  file: text,
  state: fc.constantFrom('good', 'trying', 'failed'),
  triesLeft: fc.option(count),
  triesDone: fc.option(count),
  booted: fc.boolean(),
  reason: text,
});
const service = fc.record({
  name: text,
  version,
  state: fc.constantFrom(...INSTANCE_STATES),
  health: fc.constantFrom('healthy', 'ill', 'unknown'),
  restarts: count,
  since: fc.option(count),
  why: text,
});
const status = fc
  .record(
    {
      node: fc.constantFrom('n00000', 'n00001', 'x'),
      running: fc.record({ version, kernel: text, bootId: boot, pcr11: fc.option(hex) }),
      mode: fc.constantFrom('netboot', 'installed'),
      state: fc.constantFrom('idle', 'installing', 'staging', 'restarting'),
      order: fc.option(fc.record({ epoch: count, digest: hex, expires: count })),
      slots: fc.array(slot, { maxLength: 3 }),
      staging: fc.option(fc.record({ version, done: count, total: count, error: text })),
      refused: fc.array(fc.record({ version, reason: text, attempts: count, at: count }), { maxLength: 3 }),
      health: fc.record({ healthy: fc.boolean(), reason: text }),
      config: fc.record({ digest: fc.option(hex), applied: fc.boolean(), error: text }),
      guard: fc.record({
        memory: fc.constantFrom('tpm', 'empty', 'none', 'broken'),
        epoch: count,
        floor: fc.option(version),
      }),
      services: fc.array(service, { maxLength: 3 }),
    },
    {
      requiredKeys: ['node', 'running', 'mode', 'state', 'order', 'slots', 'staging', 'refused', 'health'],
    },
  )
  .filter((one) => OPS.status.result.safeParse(one).success) as fc.Arbitrary<Status>;
const code = fc.constantFrom(
  ...[
    'SIGNER_FLOOR',
    'SIGNER_TIME',
    'SIGNER_EPOCH_JUMP',
    'ORDER_BELOW_FLOOR',
    'ORDER_FROM_FUTURE',
    'ORDER_X',
  ],
  ...['STAGE_UNREACHABLE', 'STAGE_NO_SPACE', 'DISK_FACTS', 'HELPER_UNREACHABLE', 'X_Y'],
);
type Said =
  | { how: 'status'; status: Status }
  | {
      how: 'refuses';
      as: 'stale-epoch' | 'other-boot' | 'refuses-version' | 'cannot';
      code: string;
      has: number;
    }
  | { how: 'staged' | 'unreachable' | 'reachable' | 'obeys' | 'quiet' };
const said: fc.Arbitrary<Said> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ how: fc.constant('status' as const), status }) },
  {
    weight: 3,
    arbitrary: fc.record({
      ...{ how: fc.constant('refuses' as const), code, has: count },
      as: fc.constantFrom('stale-epoch', 'other-boot', 'refuses-version', 'cannot'),
    }),
  },
  fc.constantFrom('staged', 'unreachable', 'reachable', 'obeys', 'quiet').map((how) => ({ how }) as Said),
);

/** What the code around the engine makes of it. */
function eventOf(node: string, epoch: number, seq: number, one: Said): EngineEvent | null {
  switch (one.how) {
    case 'status':
      return { type: 'report', node, report: reportOf(one.status, seq, (config) => config) };
    case 'refuses': {
      const blame = one.as === 'cannot' ? { blame: blameOfNode(one.code) } : {};
      return { type: 'refused', node, epoch, code: one.as, why: one.code, has: one.has, ...blame };
    }
    case 'staged':
      return { type: 'staged', node, epoch };
    case 'unreachable':
    case 'reachable':
      return { type: one.how, node };
    default:
      return null;
  }
}

type Word = 'rollback' | 'abort';

/** One rollout, until it has ended. @param word what people say of it in the middle */
function play(all: readonly Said[], word?: Word) {
  const s = new Script(fleetOf(COUNT, 1), {
    waves: [{ name: 'canary', take: 2 }, { take: 'rest' }],
    limits: { whole: COUNT, site: '100%', rack: COUNT },
    budget: { wave: 2, whole: 2 },
    order: 'name',
    offline: { wait: '1h' },
  });
  s.start();
  const [liar = '', ...others] = [...s.state.nodes.keys()].sort();
  const obeyed = new Map<string, string>();
  let seq = 1_000_000;
  for (let at = 0; !ENDED.includes(s.rollout.state); at += TICK) {
    if (at > ENDS) throw new Error(`${s.rollout.state}: ${s.rollout.why} ${JSON.stringify(s.node(liar))}`);
    if (word !== undefined && at === MIDDLE) s.send({ type: word, by: 'ann', why: 'it smells' });
    for (const id of others) {
      const order = s.commands.findLast(({ node }) => node === id);
      const mark = `${order?.epoch} ${order?.kind}`;
      if (order === undefined || obeyed.get(id) === mark) continue;
      obeyed.set(id, mark);
      s.obey(id);
    }
    // One that says the same for ever says it at every look.
    const one = all.length === 1 || at < TALKS ? all[(at / TICK) % all.length] : undefined;
    const order = s.commands.findLast(({ node }) => node === liar);
    if (one !== undefined && order !== undefined) {
      seq += 1;
      const event = eventOf(liar, order.epoch, seq, one);
      if (event !== null) s.send(event);
      else if (one.how === 'obeys') s.obey(liar);
    }
    s.pass(TICK, others);
  }
  return { s, liar, others };
}

for (const [what, words] of [
  ['in any order', fc.array(said, { minLength: 1, maxLength: 40 })],
  ['the same thing for ever', said.map((one) => [one])],
] as const) {
  test(`a member says anything, ${what}: the others get what was decided, none is blamed, and it ends`, (t) => {
    fc.assert(
      fc.property(words, (all) => {
        const { s, liar, others } = play(all);
        const end = JSON.stringify(s.rollout);
        for (const id of others) t.is(s.node(id).state, 'done', `${id}: ${s.node(id).why}; ${end}`);
        t.true(['done', 'partial'].includes(s.rollout.state), end);
        t.true(s.commands.every(({ version }) => version === '2.0' || version === '1.0'));
        t.true(s.commands.every(({ node, kind }) => node === liar || kind !== 'rollback'));
      }),
      { numRuns: RUNS, includeErrorInReport: true },
    );
  });

  test(`a member says anything, ${what}: what people end comes to its end, and the others are where that leaves them`, (t) => {
    fc.assert(
      fc.property(words, fc.constantFrom('rollback', 'abort'), (all, word) => {
        const { s, others } = play(all, word);
        t.is(s.rollout.state, 'aborted', s.rollout.why);
        const ends = word === 'abort' ? ['done', 'skipped', 'pending'] : ['taken-back', 'skipped', 'pending'];
        for (const id of others) t.true(ends.includes(s.node(id).state), `${id} ${s.node(id).state}`);
      }),
      { numRuns: RUNS, includeErrorInReport: true },
    );
  });
}
