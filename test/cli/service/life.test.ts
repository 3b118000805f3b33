/** The life of a version, as people say it. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { retireDue } from '../../../orchestrator/rollout/run/retire.ts';
import { setTemplate } from '../../../orchestrator/rollout/run/templates.ts';
import { pageAt, words } from '../../docs/pages.ts';
import { silent } from '../../orchestrator/fleet/support.ts';
import { servicesFor } from '../../orchestrator/services/world.ts';
import { commandsOn } from '../in-process.ts';

async function worldFor(t: Parameters<typeof servicesFor>[0]) {
  const world = await servicesFor(t);
  const { release, member, paths } = world;
  for (const version of ['4.3', '4.4']) await release(`chrony:${version}`);
  await release('shop:1', { dependsOn: ['fleet/chrony'] });
  await member(1, ['chrony:4.3', 'shop:1']);
  await member(2, ['chrony:4.3'], 'par');
  await member(3, ['chrony:4.4'], 'par');
  const bootwave = commandsOn(t, paths.root);
  const service = (...args: string[]) => bootwave('ann', 'service', ...args);
  return { ...world, service };
}

test.serial('retire shows whom it concerns first, and decides nothing until it is said', async (t) => {
  const { service, fleet } = await worldFor(t);
  const asked = ['retire', 'chrony:4.3', '--successor', 'chrony:4.4', '--on', '30d'];
  const dry = await service(...asked, '--dry-run');
  t.is(dry.code, '', dry.message);
  t.regex(dry.out, /^chrony:4\.3 would be obsolete from .* brought to chrony:4\.4$/m);
  t.regex(
    dry.out,
    /^nodes +2 are to run it, 0, 2 unknown run it\n {2}default: 1 are to.*\n {2}par: 1 are to/m,
  );
  t.regex(dry.out, /^dependants +shop:1 of fleet \(1 nodes\)$/m);
  t.regex(dry.out, /nothing was decided$/);
  t.is((await service('show', 'chrony:4.3', '--json')).value.state, 'current');
  t.is((await service(...asked, '--template', 'none')).code, 'TEMPLATE_UNKNOWN');

  await setTemplate(fleet, 'slow', '{"nodes":{"all":true}}', { actor: 'operator:ann', at: 1 });
  const said = await service(...asked, '--template', 'slow', '--reason', 'CVE-1', '--json');
  t.is(said.code, '', said.message);
  t.like(said.value, {
    state: 'deprecated',
    successor: 'fleet/chrony:4.4',
    changed: true,
    before: 'current',
  });
  t.like(said.value.life, { by: 'operator:ann', template: 'slow', reason: 'CVE-1', epoch: 1 });
  const shown = await service('show', 'chrony:4.3');
  t.regex(shown.out, /^state +deprecated, obsolete from \S+ \S+ UTC on; its successor is chrony:4\.4$/m);
  t.regex(shown.out, /^decided +by operator:ann, .*: CVE-1$/m);
  t.regex((await service('show', 'chrony:4.4')).out, /^replaces +chrony:4\.3$/m);
  const table = (await service('versions', 'chrony')).out;
  t.regex(table, /^4\.4 +current +1 +0, 1 unknown/m);
  t.regex(table, /^4\.3 +deprecated +\S+ \S+ +chrony:4\.4 +2 +0, 2 unknown .* fleet +here$/m);
  t.regex((await service('list')).out, /^chrony +4\.4 +current +2 +fleet +3 +2$/m);

  const back = await service('promote', 'chrony:4.3');
  t.regex(back.out, /^chrony:4\.3 is current; it was deprecated$/m);
  t.regex((await service('promote', 'chrony:4.3')).out, /is current, as it was said before$/m);
});

test.serial('what nobody knows, a successor that is none, a day that is past', async (t) => {
  const { service } = await worldFor(t);
  const code = async (...args: string[]) => (await service(...args)).code;
  const retire = (from: string, to: string, on = '1d') =>
    code('retire', from, '--successor', to, '--on', on, '--dry-run');
  t.is(await retire('chrony:9', 'chrony:4.4'), 'SERVICE_UNKNOWN');
  t.is(await retire('chrony', 'chrony:4.4'), 'SERVICE_NAME');
  t.is(await retire('chrony:4.3', 'chrony:none'), 'SERVICE_NAME');
  t.is(await retire('chrony:4.3', 'chrony:9'), 'SERVICE_SUCCESSOR');
  t.is(await retire('chrony:4.3', 'chrony:4.3'), 'SERVICE_SUCCESSOR');
  t.is(await retire('chrony:4.3', 'chrony:4.4', '2020-01-01'), 'SERVICE_DATE');
  t.is(await retire('chrony:4.3', 'chrony:4.4', '0s'), '');
  t.is(await code('deprecate', 'chrony:9'), 'SERVICE_UNKNOWN');
  t.is(await code('deprecate', 'chrony:4.3', '--successor', 'chrony:4.3'), 'SERVICE_SUCCESSOR');
  t.is(await code('promote', 'chrony:9'), 'SERVICE_UNKNOWN');
  t.is(await code('preview', 'chrony:9'), '', 'before it is released');
  t.is(await code('show', 'chrony:9'), '');
  t.is(await code('show', 'chrony:10'), 'SERVICE_UNKNOWN');
  const none = await service('deprecate', 'chrony:4.3');
  t.regex(none.out, /warning: it has no successor/);
  t.regex((await service('versions', 'chrony')).out, /^9 +preview .* not released$/m);
});

test.serial(
  'plans heed it: a preview is named, a deprecated version warned of, an obsolete one refused',
  async (t) => {
    const { service, paths } = await worldFor(t);
    const file = join(paths.root, 'spec.json');
    const later = Object.fromEntries([['then', [{ services: ['chrony:4.4'] }]]]);
    const plan = async (spec: object) => {
      await writeFile(
        file,
        JSON.stringify({ nodes: { all: true }, waves: [{}], services: ['chrony:4.4'], ...spec }),
      );
      return commandsOn(t, paths.root)('ann', 'rollout', 'plan', file);
    };
    t.is((await plan({})).code, '');
    await service('preview', 'chrony:4.4');
    t.regex((await plan({})).what, /chrony:4\.4 is in preview: say "preview": true in the spec/);
    t.is((await plan({ preview: true })).code, '');
    t.regex(
      (await plan({ services: ['unbound:none'], ...later })).what,
      /then\[0\]\.services\[0\] chrony:4\.4 is in preview/,
    );
    await service('deprecate', 'chrony:4.4', '--successor', 'chrony:4.3');
    const warned = await plan({});
    t.regex(warned.out, /chrony:4\.4 is deprecated; its successor is chrony:4\.3/);
    await service('retire', 'chrony:4.4', '--successor', 'chrony:4.3', '--on', '0s');
    t.regex((await plan({ preview: true })).what, /chrony:4\.4 is obsolete/);
    t.is((await plan({ services: ['chrony:4.3'] })).code, '');
    t.is((await service('promote', 'chrony:4.4')).code, '');
    t.is((await plan({})).code, '');
  },
);

test.serial('docs/services.md: every command of the life of a version, in its order', async (t) => {
  const { service } = await worldFor(t);
  const { blocks } = await pageAt('docs/services.md');
  const lines = blocks.flatMap(({ text }) =>
    text.includes('chrony:4.') && text.includes('bootwave service') ? text.trim().split('\n') : [],
  );
  t.true(lines.length >= 8);
  for (const line of lines) {
    const [, , ...args] = words(line);
    const { code, message } = await service(...args);
    t.is(code, '', `${line}\n${message}`);
  }
  t.regex((await service('show', 'chrony:4.3')).out, /deprecated, obsolete from .*chrony:4\.4$/m);
});

test.serial(
  'the rollout that starts by itself is shown, ended by taking the word back, and begun anew by saying it once more',
  async (t) => {
    const { service, fleet, redis, paths } = await worldFor(t);
    const asked = ['retire', 'chrony:4.3', '--successor', 'chrony:4.4', '--on', '2026-01-01'];
    const look = async () => {
      await fleet.decisions.look();
      await retireDue({ redis, fleet, paths, log: silent });
    };
    const rollouts = async () =>
      (await service('show', 'chrony:4.3')).out.match(/^rollout ro-\S+, by itself: \w+$/gm);
    const retire = () => service(...asked.with(5, new Date().toISOString()));
    t.is((await retire()).code, '');
    await look();
    t.regex((await rollouts())?.join() ?? '', /^rollout ro-\w+, by itself: running$/);
    const id = /ro-\w+/.exec((await rollouts())?.[0] ?? '')?.[0] ?? '';
    t.is((await service('promote', 'chrony:4.3')).code, '');
    const state = async (one: string) =>
      (await commandsOn(t, paths.root)('ann', 'rollout', 'show', one, '--json')).value.rollout.state;
    t.regex(await state(id), /^abort/);
    t.is(await rollouts(), null);

    const day = new Date().toISOString();
    const again = () => service(...asked.with(5, day), '--json');
    t.is((await again()).value.life.epoch, 3);
    t.false((await again()).value.changed, 'nothing has ended yet');
    await look();
    const next = /ro-\w+/.exec((await rollouts())?.[0] ?? '')?.[0] ?? '';
    t.not(next, id);
    await commandsOn(t, paths.root)('ann', 'rollout', 'abort', next);
    await look();
    t.regex(
      (await service('show', 'chrony:4.3')).out,
      /its nodes stay where they are: ro-\w+ ended as aborted/,
    );
    t.like((await again()).value, { changed: true, life: { epoch: 4 }, drains: [] });
    await look();
    t.regex((await rollouts())?.join() ?? '', /running/);
  },
);
