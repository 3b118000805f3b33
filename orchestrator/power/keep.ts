/** What an orchestrator does for BMCs by itself: sees what became of power actions, and looks at each BMC about once a day. */
import { hostname } from 'node:os';
import { messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import type { DataPaths } from '../../base/paths.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { NodeRecord } from '../fleet/record.ts';
import { keepLooking } from '../upkeep/look.ts';
import { keepNodes } from '../upkeep/nodes.ts';
import { Actions } from './actions.ts';
import { Book } from './book.ts';
import { Lanes } from './lanes.ts';
import { type Action, judgeSeen, SEEN_TIMES, type SeenTimes } from './seen.ts';
import { keepTest, nextTest, TEST_TIMES, type TestTimes, testBmc, testsOf } from './self-test.ts';
import type { NodeNetwork } from './weak.ts';

export type PowerKeeper = {
  paths: DataPaths;
  fleet: Fleet;
  /** On which nodes boot. */
  networks(): readonly NodeNetwork[];
  log: Logger;
  signal: AbortSignal;
  now?: () => number;
  times?: Partial<SeenTimes & TestTimes & { look: number; tests: number }>;
};

/** Tests at once, and those of one site: people's own actions always find a place beside them (reach.ts). */
const TESTS_AT_ONCE = 8;
const TESTS_OF_A_SITE = 4;
/** Milliseconds between two looks at what became of actions, and at which tests are due. */
const LOOK = 2_000;
const TESTS = 60_000;

/** Runs until the signal aborts. Never rejects. */
export async function startPower(keeper: PowerKeeper): Promise<void> {
  await Promise.all([seeActions(keeper), testAll(keeper)]);
}

function seeActions(keeper: PowerKeeper): Promise<void> {
  const { fleet, log, signal, times = {} } = keeper;
  const look = async () => {
    for (const [node, action] of await new Actions(fleet.redis).waiting()) await seeOne(keeper, node, action);
  };
  return keepLooking({ redis: fleet.redis, name: 'power', every: times.look ?? LOOK, log, signal }, look);
}

async function seeOne({ fleet, log, now = Date.now, times }: PowerKeeper, node: string, action: Action) {
  const [[record], lastSeen] = await Promise.all([fleet.nodes.getMany([node]), fleet.heard.lastSeenOf(node)]);
  const at = now();
  const heard = { bootId: record?.observed.bootId ?? '', lastSeen };
  const clear = judgeSeen(action, heard, at, { ...SEEN_TIMES, ...times });
  if (clear === null) return;
  // Of several that saw it, one writes it down.
  if (!(await new Actions(fleet.redis).replace(node, action, { ...action, ...clear, verdictAt: at }))) return;
  const reason = `${action.action}: ${clear.why}`;
  await fleet.audit.append({ at, actor: 'power', node, action: 'power', reason });
  if (clear.verdict !== 'seen')
    log.warn({ id: node, code: 'POWER_NOT_SEEN', reason }, 'a power action was not seen');
}

/** This server's own BMCs: other servers have theirs, each on its own disk. */
function testAll(keeper: PowerKeeper): Promise<void> {
  const { paths, fleet, networks, log, signal, now = Date.now, times = {} } = keeper;
  const book = new Book(paths);
  const told = new Map<string, string>();
  const lanes = new Lanes(TESTS_AT_ONCE, TESTS_OF_A_SITE);
  const due = { ...TEST_TIMES, ...times };
  return keepNodes({
    redis: fleet.redis,
    name: `bmc-tests ${hostname()} ${paths.root}`,
    every: times.tests ?? TESTS,
    // All that are due wait in the lanes, where slow ones of a site keep no other site waiting.
    atOnce: Number.POSITIVE_INFINITY,
    log,
    signal,
    async find() {
      const { entries, spoilt } = await book.read();
      if (spoilt.length > 0) log.warn({ code: 'BMC_BOOK', sites: spoilt.join(', ') }, 'BMCs cannot be read');
      const tests = await testsOf(fleet.redis, [...entries.keys()]);
      const ids = [...entries.keys()].filter((id) => nextTest(id, tests.get(id), due) <= now());
      return (await fleet.nodes.getMany(ids)).filter(({ state }) => state !== 'retired');
    },
    async work(record: NodeRecord) {
      const { id, name, site } = record;
      const test = await lanes.take(id, site, () => testBmc(paths, record, networks(), signal));
      // Removed meanwhile: nothing is known of it any more.
      if (test.code === 'BMC_NONE') return;
      await keepTest(fleet.redis, id, { ...test, at: now() });
      const why = test.ok ? test.weaknesses.map(({ what }) => what).join('; ') : `${test.code}: ${test.what}`;
      // Said once, until something else is wrong.
      if (why !== '' && told.get(id) !== why)
        log.warn({ id, node: name, code: 'BMC_TEST', reason: why }, 'a BMC is not as it should be');
      told.set(id, why);
    },
    async failed({ id, name }, error) {
      log.warn({ id, node: name, reason: messageOf(error) }, 'a BMC was not tested');
      return TESTS;
    },
  });
}
