import { rm } from 'node:fs/promises';
import { BootwaveError } from '../../base/error.ts';
import { dataPaths } from '../../base/paths.ts';
import { buildImage } from '../../image/build/build.ts';
import { imageFile } from '../../image/build/manifest.ts';
import { initKeys } from '../../keys/init.ts';
import type { Fleet } from '../../orchestrator/fleet/fleet.ts';
import { overview } from '../../orchestrator/fleet/overview.ts';
import type { NodeRecord } from '../../orchestrator/fleet/record.ts';
import { withFleet } from '../../orchestrator/operators/with-fleet.ts';
import { startBootServer } from '../boot-server.ts';
import { createLab } from '../create.ts';
import { inWords } from '../events.ts';
import { type Lab, openLab } from '../lab.ts';
import { restoreLab, saveLab } from '../save.ts';
import { listSaved, savedFolder } from '../saved.ts';
import { labFolder } from '../state.ts';
import { treeDigest } from '../tree-digest.ts';
import { Boots, NODES, UEFI } from './boots.ts';
import { until } from './follow.ts';
import { type Act, Forecast, PHASES, programme } from './forecast.ts';
import { rolloutsAct } from './rollouts.ts';
import { servicesAct } from './services.ts';
import type { View } from './view.ts';

const LAB = 'demo';
const VERSION = '1.0.0';

export type DemoResult = { nodes: NodeRecord[]; seconds: number };

/**
 * The main job from nothing: keys, image, a rack of three, power on, approve by comparing words, three healthy nodes;
 * then two of them on their disks, a good rollout and a bad one; then services on all of them.
 * @param act one of them alone. The first one keeps its rack for the others, which else play the first, too.
 * @throws BootwaveError saying what failed; the lab is taken down either way
 */
export async function demo(
  view: View,
  signal: AbortSignal,
  finish: (fleet: Fleet) => Promise<void>,
  act: Act | 'all' = 'all',
): Promise<DemoResult> {
  const started = performance.now();
  await removeLeftover();
  const plays = (one: Act) => act === 'all' || act === one;
  const kept = act === 'rollout' || act === 'service' ? await keptRack() : null;
  const onEvent: NonNullable<Parameters<typeof restoreLab>[0]['onEvent']> = (event) =>
    view.say(inWords(event));
  const lab =
    kept === null
      ? await createLab({ name: LAB, nodes: NODES.map(({ way: _, ...spec }) => spec), signal, onEvent })
      : await restoreLab({ from: kept, name: LAB, signal, onEvent });
  try {
    const phases = PHASES.filter(
      (phase) => act === 'all' || phase.act === act || (phase.act === 'boot' && kept === null),
    );
    view.print(`${programme(phases, lab.accelerator === 'tcg')}\n`);
    view.forecast(new Forecast(phases, performance.now()));
    if (kept === null) await furnish(lab, view, signal);
    else view.say('The three healthy nodes of the first act go on from where they were kept.');
    const paths = dataPaths(lab.dataFolder);
    const result = await withFleet(paths, async (fleet) => {
      const stage = { lab, paths, fleet, view, signal };
      if (kept === null) {
        view.enter('boot');
        await new Boots(stage, plays('rollout') ? UEFI : []).bringUp();
        view.say('All three are healthy.');
      }
      if (plays('rollout')) await rolloutsAct(stage, UEFI);
      if (plays('service'))
        await servicesAct(
          stage,
          NODES.map(({ name }) => name),
        );
      // A rollout's nodes leave 'updating' by a regular look, some seconds after its end.
      for (const { name } of NODES) await until(stage, name, ({ state }) => state === 'healthy');
      await finish(fleet);
      const { nodes } = await overview(fleet, {}, Date.now());
      check(nodes);
      return { nodes, seconds: Math.round((performance.now() - started) / 1000) };
    });
    if (act === 'boot') await keep(lab, view);
    return result;
  } finally {
    view.end();
    await lab.down();
  }
}

/** Keys, an image, a boot server. */
async function furnish(lab: Lab, view: View, signal: AbortSignal): Promise<void> {
  const paths = dataPaths(lab.dataFolder);
  view.enter('image');
  const keys = await initKeys(paths.keys);
  view.say(
    `Made the fleet's keys: Secure Boot, certificate authorities, orders (${keys.created.length} files).`,
  );

  view.say('Building the signed image; the first time takes some minutes, later times seconds.');
  const image = await buildImage({
    paths,
    version: VERSION,
    signal,
    onWarning: (text) => view.say(text),
    onProgress: (step) => view.bars([{ name: 'image', fraction: step.fraction, text: step.text }]),
  });
  view.bars([]);
  view.say(
    `Published ${imageFile('', VERSION).replace(/^\//, '')}: ${(image.size / 1e6).toFixed(1)} MB, kernel ${image.kernel}.`,
  );
  await startBootServer(lab, ['--heartbeat', '5'], { signal });
}

/** A demo that was killed leaves its lab's folder; the next one clears it away. */
async function removeLeftover(): Promise<void> {
  const before = await openLab(labFolder(LAB)).catch(() => undefined);
  await before?.down();
}

/** Other sources have another one: what was booted is what is shown. */
const keptName = async () => `${LAB}-${(await treeDigest()).slice(0, 12)}`;

async function keptRack(): Promise<string | null> {
  const name = await keptName();
  const found = (await listSaved()).find((saved) => saved.name === name);
  return found === undefined || found.unfit !== null ? null : savedFolder(name);
}

async function keep(lab: Lab, view: View): Promise<void> {
  const name = await keptName();
  for (const old of await listSaved())
    if (old.name.startsWith(`${LAB}-`)) await rm(savedFolder(old.name), { recursive: true, force: true });
  await saveLab(lab, savedFolder(name), { last: true });
  view.say(
    `The rack is kept for the next acts, 'make demo ACT=rollout' and 'make demo ACT=service'; 'bootwave lab forget ${name}' removes it.`,
  );
}

function check(nodes: readonly NodeRecord[]): void {
  const wrong = nodes.filter(
    (node) =>
      node.state !== 'healthy' ||
      (node.inventory.firmware.kind === 'uefi' && node.observed.secureBoot !== 'on'),
  );
  if (nodes.length === NODES.length && wrong.length === 0) return;
  throw new BootwaveError({
    code: 'DEMO_FAILED',
    what: `expected ${NODES.length} healthy nodes with Secure Boot on for UEFI; found ${nodes
      .map((node) => `${node.name}: ${node.state}, Secure Boot ${node.observed.secureBoot}`)
      .join('; ')}`,
  });
}
