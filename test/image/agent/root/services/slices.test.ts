/** Instances of slices on a node: names, what they depend on, where they are counted, and what is left of them. */
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { dropStatesOfSlices } from '../../../../../image/agent/root/services/state.ts';
import { instanceId, nameOfInstance, unitSlice } from '../../../../../protocol/agent/units.ts';
import { orderSchema } from '../../../../../protocol/order.ts';
import {
  bundleTarget,
  instanceNameSchema,
  nearest,
  serviceNameSchema,
  serviceOf,
  sliceOf,
} from '../../../../../protocol/service/name.ts';
import { scratch } from './bundles.ts';

const word = fc.stringMatching(/^[a-z](?:[0-9a-z-]{0,6}[0-9a-z])?$/);

test('an id names one instance, of the fleet or of a slice; its bundle is that of the service', (t) => {
  fc.assert(
    fc.property(word, word, fc.option(word), (owner, name, slice) => {
      const service = `${owner}/${name}`;
      const instance = slice === null ? service : `${service}@${slice}`;
      t.true(instanceNameSchema.safeParse(instance).success);
      t.is(serviceNameSchema.safeParse(instance).success, slice === null);
      t.is(nameOfInstance(instanceId(instance)), instance);
      t.deepEqual([serviceOf(instance), sliceOf(instance)], [service, slice]);
      t.is(bundleTarget({ name: instance, version: '1' }), `services/${service}_1`);
    }),
  );
  for (const bad of ['a/b@', 'a/b@c@d', '@c', 'a@b', 'a/b@C', 'a/b@c.d', 'a/b@c/d'])
    t.false(instanceNameSchema.safeParse(bad).success, bad);
});

test('an order names a service once for itself and once for each slice; an image from before takes none of it', (t) => {
  const base = {
    ...{ format: 1, node: 'tpm-1', epoch: 1, issuedAt: 1, expires: 2, mode: 'installed', image: null },
    ...{ config: null, wipe: false, forgiven: [] },
  };
  const of = (...names: string[]) =>
    orderSchema.safeParse({
      ...base,
      services: names.map((name) => ({ name, version: '1', sha256: 'a'.repeat(64), size: 1 })),
    }).success;
  t.true(of('web/shop', 'web/shop@a', 'web/shop@b'));
  t.false(of('web/shop@a', 'web/shop@a'));
  // What images from before slices ask of a name.
  t.false(serviceNameSchema.safeParse('web/shop@a').success);
});

test('what it depends on is there in its own slice, or else the fleet has it', (t) => {
  const there = new Set(['web/db', 'web/db@a']);
  const near = (from: string) => nearest('web/db', from, (name) => there.has(name));
  t.deepEqual(['web/shop', 'web/shop@a', 'web/shop@b'].map(near), ['web/db', 'web/db@a', 'web/db']);
});

test('a slice is one among others to the kernel, whatever its name is', (t) => {
  t.is(unitSlice(null), 'bootwave-services.slice');
  t.is(unitSlice('probe'), 'bootwave-services-probe.slice');
  // A dash would be a slice within a slice (systemd.unit(5), escaping).
  t.is(unitSlice('my-probe'), 'bootwave-services-my\\x2dprobe.slice');
});

test('what a slice kept goes when the node is to run nothing of it any more; the fleet keeps its own', async (t) => {
  const states = await scratch(t);
  const make = async (...ids: string[]) => {
    for (const id of ids) {
      await mkdir(join(states, id, 'data'), { recursive: true });
      await writeFile(join(states, id, 'data', 'x'), 'x');
    }
  };
  await make('web.shop', 'web.shop.a', 'web.db.a', 'web.shop.b', 'strange');
  const left = async (named: string[], running: string[] = []) => {
    await dropStatesOfSlices(named, running, { states });
    return (await readdir(states)).sort();
  };
  const all = ['strange', 'web.db.a', 'web.shop', 'web.shop.a', 'web.shop.b'];
  t.deepEqual(await left(['web/shop@a', 'web/shop@b']), all, 'another service of the slice may come back');
  t.deepEqual(await left(['web/shop@a'], ['web/shop@b']), all, 'it has not ended yet');
  t.deepEqual(await left(['web/shop@a']), all.slice(0, 4));
  t.deepEqual(await left([]), ['strange', 'web.shop']);
  await t.notThrowsAsync(dropStatesOfSlices([], [], { states: join(states, 'absent') }));
});
