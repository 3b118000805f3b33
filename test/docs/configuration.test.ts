/** The page on configurations says what the code does: its example publishes, its list of parameters is the list. */
import test from 'ava';
import { checkSpec } from '../../orchestrator/rollout/spec.ts';
import { makeDocument } from '../../protocol/configuration/document.ts';
import { SYSCTLS } from '../../protocol/configuration/sysctls.ts';
import { pageAt } from './pages.ts';

const page = await pageAt('docs/configuration.md');

test('the examples of the page are a configuration and a spec', (t) => {
  const [config, spec] = page.blocks.filter(({ language }) => language === 'json').map(({ text }) => text);
  t.notThrows(() => makeDocument(JSON.parse(config!), '2026.1'));
  t.true(checkSpec(JSON.parse(spec!)).ok);
});

test('the page names every parameter that may be set, and no other', (t) => {
  const rows = [...page.text.matchAll(/^\| `(net\.core|net\.ipv4|vm|kernel)` \| (.*) \|$/gm)];
  const named = rows.flatMap(([, prefix, names = '']) =>
    [...names.replace(/\([^)]*\)/g, '').matchAll(/`([^`]+)`/g)].map(([, name]) => `${prefix}.${name}`),
  );
  t.deepEqual(named.sort(), Object.keys(SYSCTLS).sort());
});
