/** Slices on simulated nodes over the real wire, with the real signer: what their owner has run there, and what becomes of it. */
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { dataPaths } from '../../../base/paths.ts';
import type { Faults } from '../../../lab/sim/fault.ts';
import type { Acting } from '../../../orchestrator/operations/operation.ts';
import * as slice from '../../../orchestrator/operations/slice/acts.ts';
import { run } from '../../../orchestrator/operations/slice/run.ts';
import { shownName } from '../../../protocol/service/name.ts';
import { silent } from '../fleet/support.ts';
import { release } from '../rollout/run/service-bench.ts';
import { benchFor, hasEnded } from '../rollout/run/support.ts';

const DAY = 24 * 3600_000;
const MIB = 2 ** 20;
const SHARE = { cpu: 10, memory: 64 * MIB, disk: 0, ports: [] };

test.serial(
  'two slices side by side: brought, mended, spoilt, moved and ended, each by itself',
  async (t) => {
    const faults: Faults = (number, version) =>
      version === 'fleet/chrony@probe:4.3' || (number === 0 && version === 'fleet/chrony@third:4.2')
        ? 'panic'
        : null;
    const bench = await benchFor(t, { count: 5, faults, decides: 'all', sites: ['default'] });
    const { fleet, nodes } = bench;
    await release(bench, 'fleet/chrony:4.2', 'fleet/chrony:4.3', 'fleet/chrony:4.4');
    const acting = () =>
      ({
        ...{ fleet, paths: dataPaths(bench.root), log: silent, signal: new AbortController().signal },
        ...{
          by: { actor: 'operator:eve', at: Date.now() },
          identity: { actor: 'operator:eve', role: 'core', sites: [] },
        },
      }) as unknown as Acting;
    const create = (name: string, count: number, more: object = {}) =>
      slice.create(
        {
          name,
          count,
          perSite: null,
          where: {},
          share: SHARE,
          teams: [],
          expires: Date.now() + DAY,
          ...more,
        },
        acting(),
      );
    const runs = (name: string, ...services: string[]) => run({ name, services }, acting());
    const show = (name: string) => slice.show({ name }, acting());
    /** What nodes say that they run, of this slice. */
    const on = (name: string) =>
      nodes.flatMap((node) =>
        node.services
          .status()
          .flatMap((one) =>
            one.name.endsWith(`@${name}`)
              ? [`${node.number} ${shownName(one.name)}:${one.version} ${one.health}`]
              : [],
          ),
      );
    const story = async () => {
      const all = await Promise.all(['probe', 'other'].map(show));
      const rollouts = await Promise.all(all.flatMap((one) => one.rollouts.map(({ id }) => bench.state(id))));
      const told = rollouts.flatMap(({ rollout, nodes }) => [
        `${rollout.id} ${rollout.state} ${rollout.why}`,
        ...[...nodes.values()].map((one) => `  ${one.name} ${one.wave} ${one.state} ${one.why}`),
      ]);
      return [...all.map(({ name, waits }) => `${name}: ${on(name).join(', ')}; ${waits}`), ...told].join(
        '\n',
      );
    };
    const until = async (what: () => boolean | Promise<boolean>, seconds = 120) => {
      for (const last = performance.now() + seconds * 1000; !(await what()); await sleep(200))
        if (performance.now() > last) throw new Error(await story());
    };
    const allOn = (name: string, version: string, count: number) => () =>
      on(name).length === count && on(name).every((line) => line.endsWith(`:${version} healthy`));
    bench.orchestrator();

    await create('probe', 3);
    await create('other', 5);
    const begun = await runs('probe', 'chrony:4.2');
    t.is(begun.rollouts.length, 1);
    await until(allOn('probe', '4.2', 3));
    await runs('other', 'chrony:4.2');
    await until(allOn('other', '4.2', 5));
    t.true(nodes.every((node) => !node.services.status().some((one) => one.name === 'fleet/chrony')));

    // What is no good comes back by itself, and nothing of the other slice notices.
    await runs('probe', 'chrony:4.3');
    // Nodes that are in another rollout come when they are free.
    await until(async () => (await show('probe')).rollouts.length > 0);
    const ended = await bench.until((await show('probe')).rollouts[0]!.id, hasEnded);
    t.is(ended.rollout.state, 'failed', ended.rollout.why);
    t.is(ended.rollout.touches, 1, 'the canary alone');
    t.true(allOn('probe', '4.2', 3)(), on('probe').join());
    await until(async () => /ended as failed/.test((await show('probe')).waits ?? ''));
    t.is((await show('probe')).rollouts.length, 1, 'and does not begin again by itself');
    await runs('probe', 'chrony:4.2');

    // A node that leaves the fleet is replaced.
    const [first] = (await show('probe')).nodes.filter(({ has }) => has);
    await fleet.retire(first!.id, 'sold', { actor: 'operator:ann', at: Date.now() });
    const isReplaced = async () => {
      const now = (await show('probe')).nodes.filter(({ has }) => has).map(({ id }) => id);
      return now.length === 3 && !now.includes(first!.id);
    };
    await until(isReplaced);
    const others = () =>
      on('probe').filter((line) => !line.startsWith(`${nodes.findIndex(({ id }) => id === first!.id)} `));
    await until(() => others().length === 3 && others().every((line) => line.endsWith(':4.2 healthy')));

    await slice.remove({ name: 'probe' }, acting());
    await until(() => others().length === 0);
    t.is(on('other').filter((line) => line.endsWith('healthy')).length, 5, 'the other slice goes on');
    const { nodes: left, phase } = await show('probe');
    t.is(phase, 'ended');
    t.deepEqual(
      left.filter(({ state }) => state !== 'retired'),
      [],
    );
  },
);
