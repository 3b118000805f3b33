import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { run } from '../../../../../base/run.ts';
import { placeOf } from '../../../../../image/agent/root/services/place.ts';
import { changeTexts } from '../../../../../image/agent/root/services/reserve-units.ts';
import {
  bundleText,
  bundleUnit,
  checkText,
  checkUnit,
  instanceText,
  isServiceUnit,
  netText,
  netUnit,
} from '../../../../../image/agent/root/services/units.ts';
import { PROGRAMS } from '../../../../../image/build/keep.ts';
import { instanceUnit } from '../../../../../protocol/agent/units.ts';
import { anyManifest, manifestOf } from './any-manifest.ts';

const SHA = 'a'.repeat(64);
const ID = 'fleet.web';
const FOLDER = '/run/bootwave/services/instances/fleet.web';

const CHANGE = changeTexts(ID, 1_796_126_400_000, { cpu: 130, memory: 2 ** 26 }, `${FOLDER}/share.json`);

/** What only numbers and words of ours may make of a line. */
const LINE = /^(?:\[(?:Unit|Service)\]|[A-Z][A-Za-z]+=[\w /.:,%=-]*|)$/;

test('no word of a manifest gets into a unit: newline, %, $ and quotes have nowhere to go', (t) => {
  fc.assert(
    fc.property(anyManifest, (manifest) => {
      const texts = [
        instanceText(ID, SHA, manifest, FOLDER, '/var/lib/bootwave/x'),
        checkText(ID, manifest, FOLDER) ?? '',
      ];
      for (const text of texts) {
        for (const line of text.split('\n')) t.regex(line, LINE);
        t.deepEqual(text.match(/^\[.*\]$/gm) ?? [], text === '' ? [] : ['[Unit]', '[Service]']);
      }
      // Two manifests that differ in their words alone have the same units.
      const words = { ...manifest, command: ['/other'], env: {}, workdir: '/' };
      t.is(instanceText(ID, SHA, words, FOLDER, null), instanceText(ID, SHA, manifest, FOLDER, null));
      const [instance] = texts;
      for (const limit of ['MemoryMax', 'MemorySwapMax', 'CPUQuota', 'TasksMax', 'TimeoutStopSec'])
        t.is(instance!.match(new RegExp(`^${limit}=\\d+%?$`, 'gm'))?.length, 1, limit);
    }),
    { numRuns: 200 },
  );
});

test('systemd understands every line of them', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-units-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const manifest = manifestOf({
    health: { check: { kind: 'exec', command: ['/bin/true'] } },
    limits: { memory: 2 ** 26, cpu: 150, tasks: 32, io: { read: 1000, write: 1000 } },
  });
  const texts: [string, string][] = [
    [bundleUnit(SHA), bundleText({ sha256: SHA, rootHash: 'b'.repeat(64), dataBytes: 40_960 }, '/f', '/m')],
    [netUnit(ID), netText(ID, placeOf(3), FOLDER)],
    [instanceUnit(ID), instanceText(ID, SHA, manifest, FOLDER, '/var')],
    [checkUnit(ID), checkText(ID, manifest, FOLDER)!],
    ...CHANGE,
    ['bootwave-filter.service', '[Service]\nType=oneshot\nExecStart=/bin/true\n'],
  ];
  for (const [name, text] of texts) await writeFile(join(folder, name), text);
  const { stderr } = await run('systemd-analyze', [
    ...['verify', '--man=no', '--recursive-errors=no', ...texts.map(([name]) => join(folder, name))],
  ]);
  // It looks for programs as well, and this machine may lack some.
  const said = stderr.split('\n').filter((line) => /Unknown|Invalid|Failed to parse|ignoring/i.test(line));
  t.deepEqual(said, []);
});

test('every program that a unit of an instance starts is in the image', (t) => {
  const health = { check: { kind: 'exec', command: ['/bin/true'] } };
  const manifest = manifestOf({ health });
  const all = [
    bundleText({ sha256: SHA, rootHash: 'b'.repeat(64), dataBytes: 40_960 }, '/f', '/m'),
    netText(ID, placeOf(3), FOLDER),
    instanceText(ID, SHA, manifest, FOLDER, null),
    checkText(ID, manifest, FOLDER) ?? '',
    ...CHANGE.values(),
  ].join('\n');
  // `ip netns exec NAME PROGRAM` starts a second one.
  const started = [...all.matchAll(/(?:^Exec\w+=-?| netns exec \w+ )(\/\S+)/gm)].map(([, path]) => path!);
  t.true(started.length > 15);
  for (const path of started)
    t.true(PROGRAMS.has(basename(path)) || path === '/usr/lib/systemd/systemd-sysctl', path);
});

test('a failed service is a service, not a failed node', (t) => {
  const changes = [...CHANGE.keys()].filter((file) => file.endsWith('.service'));
  t.is(changes.length, 1);
  for (const unit of [bundleUnit(SHA), netUnit(ID), instanceUnit(ID), checkUnit(ID), ...changes])
    t.true(isServiceUnit(unit), unit);
  for (const unit of ['bootwave-agent.service', 'bootwave-services@1.service', 'bootwave-disk@0-1.service'])
    t.false(isServiceUnit(unit), unit);
});
