import type { TestFn } from 'ava';
import type { NodeSpec } from '../../lab/spec.ts';
import { Rack } from './rack.ts';

export type RackOptions = {
  /** Limit of the making and of `ready`, minutes. */
  minutes: number;
  /** Takes away what `ready` has made beside the rack. */
  gone?: () => Promise<void>;
};

/**
 * One rack for a whole test file: made before its tests and given to `ready`, taken down after them whatever happened. A
 * test that fails shows the consoles and the boot server's log.
 * @param nodes of blank machines, or what makes the rack
 */
export function rackFor(
  test: TestFn,
  name: string,
  nodes: readonly NodeSpec[] | (() => Promise<Rack>),
  ready: (rack: Rack) => Promise<void>,
  { minutes, gone = async () => {} }: RackOptions,
): void {
  let rack: Rack | undefined;
  test.before(async (t) => {
    t.timeout(minutes * 60_000);
    rack = typeof nodes === 'function' ? await nodes() : await Rack.make(name, nodes);
    await ready(rack);
  });
  test.after.always(async (t) => {
    t.timeout(5 * 60_000);
    try {
      await rack?.lab.down();
    } finally {
      await gone();
    }
  });
  test.afterEach.always(async (t) => {
    if (!t.passed) await rack?.explain(t);
  });
}
