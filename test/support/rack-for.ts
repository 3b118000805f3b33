import type { TestFn } from 'ava';
import type { NodeSpec } from '../../lab/spec.ts';
import { Rack } from './rack.ts';

/**
 * One rack for a whole test file: made before its tests and given to `ready`, taken down after them whatever happened. A
 * test that fails shows the consoles and the boot server's log.
 * @param gone what `ready` has made beside the rack goes first
 */
export function rackFor(
  test: TestFn,
  name: string,
  nodes: readonly NodeSpec[],
  ready: (rack: Rack) => Promise<void>,
  gone: () => Promise<void> = async () => {},
): void {
  let rack: Rack | undefined;
  test.before(async (t) => {
    t.timeout(60 * 60_000);
    rack = await Rack.make(name, nodes);
    await ready(rack);
  });
  test.after.always(async (t) => {
    t.timeout(5 * 60_000);
    await gone();
    await rack?.lab.down();
  });
  test.afterEach.always(async (t) => {
    if (!t.passed) await rack?.explain(t);
  });
}
