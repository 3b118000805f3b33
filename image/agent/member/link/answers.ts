/** What a member answers on its link. */
import { Turns } from '../../../../base/turns.ts';
import { untilAborted } from '../../../../base/wait.ts';
import { LINK_VERSION } from '../../../../protocol/link/messages.ts';
import { type Assembled, type MemberParts, runningOf } from '../assemble.ts';
import { Execs } from '../execs.ts';
import type { Known } from '../known.ts';
import type { OrderBook } from '../order-book.ts';
import { seldom } from '../seldom.ts';
import { readUsage } from '../usage/read.ts';
import type { LinkHandlers } from './handlers.ts';

/** Milliseconds. */
const USAGE_LIFE = 1_000;

export function answers(
  parts: Pick<MemberParts, 'running' | 'usage' | 'logs' | 'execs' | 'uptime' | 'now'>,
  known: Known,
  book: OrderBook,
  { release, config, services, flows }: Pick<Assembled, 'release' | 'config' | 'services' | 'flows'>,
): LinkHandlers {
  const epoch = () => book.inForce?.order.epoch ?? 0;
  const reading = new Turns();
  // Read again at most so often: whoever asks in a flood costs no more than the answers.
  const usage = seldom(USAGE_LIFE, async () =>
    readUsage(parts.usage, { bootId: parts.running.bootId, at: parts.uptime() }, services.told()),
  );
  return {
    fence: () => ({ epoch: epoch(), bootId: parts.running.bootId }),
    hello: ({ version }) => ({
      version: Math.min(version, LINK_VERSION),
      node: known.node,
      running: runningOf(parts, known),
      epoch: epoch(),
      state: release.state,
    }),
    order: async ({ envelope }) => {
      const accepted = await book.accept(envelope);
      void services.look();
      return accepted;
    },
    status: async () => ({
      ...(await release.status()),
      config: config.status(),
      services: services.status(),
      slices: true as const,
      ...(services.shared && { shared: services.shared }),
      ...(known.guard === null ? {} : { guard: known.guard }),
    }),
    // The numbers may be of a moment ago; the clock may not.
    usage: async () => ({ ...(await usage()), clock: parts.now() }),
    flows: (args) => flows.answer(args),
    // Whoever waits no more gives their place on the link back: orders need one.
    logs: (args, { signal }) =>
      untilAborted(
        reading.take(async () => {
          signal.throwIfAborted();
          return parts.logs(args);
        }),
        signal,
      ),
    ...new Execs(parts.execs).handlers,
    config: (args) => config.config(args),
    mirrors: ({ files }) => {
      known.mirrors = new Map(files.map(({ sha256, at }) => [sha256, at]));
      return {};
    },
    stage: (args, context) => release.stage(args, context),
    activate: (args) => release.activate(args),
    cancel: () => release.cancel(),
    forgive: (args) => release.forgive(args),
    restart: () => release.restart(),
  };
}
