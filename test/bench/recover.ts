/** From a signal to the fence, one node and 1,000 at once (BENCH_NODES); then started from the network, wiped and back. */
// The fleet is on a real Redis with the log of decisions on a disk, the signer and the BMCs (Redfish) are real; machines are words to
// the fleet's directory, which wipe and boot in no time. The breaker and the signer's budget are raised by hand.
import { fork } from 'node:child_process';
import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLogger } from '../../base/log.ts';
import { dataPaths } from '../../base/paths.ts';
import { initKeys } from '../../keys/init.ts';
import { beginDecisions } from '../../orchestrator/fleet/decisions/confirm.ts';
import type { IncidentStep } from '../../orchestrator/fleet/decisions/incidents.ts';
import { journalFile } from '../../orchestrator/fleet/decisions/journal.ts';
import { FleetDirectory } from '../../orchestrator/fleet/directory.ts';
import { openFleet } from '../../orchestrator/operators/bans-of.ts';
import { Book } from '../../orchestrator/power/book.ts';
import { shownPin } from '../../orchestrator/power/pinned.ts';
import type { Breaker } from '../../orchestrator/recovery/breaker.ts';
import { setRules } from '../../orchestrator/recovery/guard.ts';
import { Held } from '../../orchestrator/recovery/held.ts';
import { keepGuard } from '../../orchestrator/recovery/keep-guard.ts';
import { startRecovery } from '../../orchestrator/recovery/run.ts';
import { Watch } from '../../orchestrator/recovery/watch.ts';
import { connect } from '../../orchestrator/redis/connect.ts';
import { SignerClient } from '../../orchestrator/signer/client.ts';
import { signerFiles } from '../../orchestrator/signer/files.ts';
import { SIGNER_LIMITS } from '../../orchestrator/signer/judge.ts';
import { serveSigner } from '../../orchestrator/signer/serve.ts';
import { anyImage } from '../orchestrator/fleet/any-image.ts';
import { beatOfBoot, certificateFor, enrolment, inventory, pcr11 } from '../orchestrator/fleet/machines.ts';
import { LOGIN, type Said } from './recover/bmcs.ts';

const NODES = Number(process.env.BENCH_NODES ?? 1000);
const ROUNDS = 9;
const ALL = ROUNDS + NODES;
const log = createLogger('bench', 'silent');
const paths = dataPaths(await mkdtemp(join(tmpdir(), 'bw-bench-')));
await initKeys(paths.keys);
const stop = new AbortController();
const { signal } = stop;

/** The least that it takes: these very lines of the log, each signed and on the disk before the next one. @returns seconds */
async function bareLoop(lines: readonly string[]): Promise<number> {
  const { privateKey } = generateKeyPairSync('ed25519');
  const file = await open(join(paths.root, 'bare'), 'a');
  const began = performance.now();
  for (const line of lines) {
    sign(null, Buffer.from(line), privateKey);
    await file.appendFile(`${line}\n`);
    await file.datasync();
  }
  await file.close();
  return (performance.now() - began) / 1000;
}

const connection = await connect(paths, { url: '' });
const bmcs = fork(join(import.meta.dirname, 'recover/bmcs.ts'), [String(ALL)]);
try {
  const { fleet, bans } = await openFleet(paths, connection.redis, log);
  const by = { actor: 'operator:bench', at: Date.now() };
  await beginDecisions(fleet, log, by);
  await fleet.sites.set('default', { automation: 'fence', recovery: 'wipe' }, by);
  await setRules(fleet, { nodes: 100_000, percent: 100, fences: 100_000 }, { ...by, reason: 'an attack' });
  const limits = { ...SIGNER_LIMITS, wipesPerHour: 100_000 };
  await serveSigner({ paths, limits, log, signal });
  const signer = new SignerClient(signerFiles(paths).socket);
  const breaker: Breaker = (...asked) => guard.stopped(...asked);
  const watch = new Watch({ fleet, site: 'default', attestMinutes: 30, breaker, log });
  const guard = keepGuard({ fleet, heardAt: (node) => watch.heardAt(node), log, signal });
  const directory = new FleetDirectory({
    ...{ ...anyImage, fleet, site: 'default', pcr11, bans, log },
    limits: { pending: 1e6, pendingOfSite: 1e6 },
    defaultImage: async () => '1.0',
    saw: (sight) => watch.saw(sight),
    recovery: new Held({ fleet, folder: paths.evidence, signer, breaker, log, now: Date.now }),
  });
  const booted = (n: number, boot: number) => enrolment(n, boot, { at: Date.now() });
  const joins = async (n: number, boot: number) => {
    const one = booted(n, boot);
    await directory.recordCertificate(one.id, certificateFor(one));
    await directory.heartbeat(one.id, certificateFor(one).serial, beatOfBoot(one));
  };
  const ports = await new Promise<number[]>((done) => {
    bmcs.on('message', (said: Said) => 'ports' in said && done(said.ports));
  });
  const pin = await shownPin({ host: '127.0.0.1', port: ports[0]! }, signal);
  const book = new Book(paths);
  for (let n = 1; n <= ALL; n += 1) {
    const one = booted(n, 1);
    await directory.enrol(one);
    await fleet.approve(one.id, one.words, by);
    await joins(n, 1);
    await book.set('default', {
      ...{
        node: one.id,
        kind: 'redfish',
        host: '127.0.0.1',
        port: ports[n - 1]!,
        ...LOGIN,
        pin,
        suite: null,
      },
      ...{
        claim: { uuids: [inventory(n).uuid], serial: inventory(n).serial },
        unproven: false,
        by: by.actor,
        at: by.at,
      },
    });
  }
  /** It shows its certificate, with the TPM of another machine. */
  const shows = async (n: number) => {
    const { id, pcrs, firmware, address, clock, nonceNumber, at } = booted(n, 1);
    const akName = enrolment(ALL + n).akName!;
    const shown = { akName, nonceNumber, pcrs: pcrs!, clock: clock!, firmware, address, at };
    await directory.reattest(id, certificateFor(enrolment(n)).serial, shown);
  };
  const took: number[] = [];
  for (let n = 1; n <= ROUNDS; n += 1) {
    const began = performance.now();
    await shows(n);
    await watch.settled();
    took.push(performance.now() - began);
  }
  took.sort((a, b) => a - b);
  const load = () => `load ${loadavg()[0]!.toFixed(0)}`;
  console.log(
    `one node, from its quote to fenced: median ${took[4]!.toFixed(0)} ms, slowest ${took.at(-1)!.toFixed(0)} ms (goal 1000; ${load()})`,
  );

  const [began, cpu] = [performance.now(), process.cpuUsage()];
  const seconds = () => (performance.now() - began) / 1000;
  const tell = (what: string, goal: number) => {
    const { user, system } = process.cpuUsage(cpu);
    const used = ((user + system) / 1e6).toFixed(1);
    console.log(
      `${NODES} nodes at once: all ${what} after ${seconds().toFixed(1)} s (goal ${goal}), ${used} s of CPU here; ${load()}`,
    );
  };
  const at = (steps: readonly IncidentStep[]) =>
    fleet.decisions.incidents.all.filter(({ step }) => steps.includes(step)).length;
  const until = async (what: string, goal: number, holds: () => boolean) => {
    for (; !holds(); await sleep(20)) if (seconds() > 600) throw new Error(`not all are ${what}`);
    tell(what, goal);
  };
  let started = 0;
  const back: Promise<void>[] = [];
  /** Its own half of the way: it asks for its order, reports the wipe, and is let in with new keys. */
  const comesBack = async (n: number) => {
    started += 1;
    const { id } = booted(n, 2);
    await directory.enrol(booted(n, 2));
    const { akName, pcrs, clock, firmware, nonceNumber, address, at: when } = booted(n, 2);
    const shown = { akName: akName!, pcrs: pcrs!, clock: clock!, firmware, nonceNumber, address, at: when };
    await directory.wiped(id, shown, { incident: 1, wiped: [], left: [], open: [] });
    await directory.enrol(booted(n, 3));
    await joins(n, 3);
  };
  bmcs.on('message', (said: Said) => {
    if ('started' in said) back.push(comesBack(said.started));
  });
  const journal = () => readFile(journalFile(paths), 'utf8').then((text) => text.split('\n'));
  const before = (await journal()).length;
  await Promise.all(Array.from({ length: NODES }, (_, i) => shows(ROUNDS + 1 + i)));
  await until('fenced', 10, () => at(['fenced']) === ALL);
  const ours = seconds();
  const bare = await bareLoop((await journal()).slice(before - 1, -1));
  console.log(
    `bench recover ${ours.toFixed(2)} s vs a bare loop ${bare.toFixed(2)} s ratio ${(ours / bare).toFixed(2)}; ${load()}`,
  );
  const pool = { request: () => Promise.reject(new Error('no link')) };
  const running = startRecovery({ fleet, paths, site: 'default', pool, watch, breaker, log, signal });
  await until('controlled (their BMCs have started them from the network)', 60, () => started >= ALL);
  await Promise.all(back);
  if (at(['returning']) !== ALL) throw new Error(`${at(['returning'])} of ${ALL} are back`);
  tell('trusted (ordered to wipe, wiped in no time, members with new keys)', 900);
  stop.abort();
  await running;
  signer.close();
} finally {
  stop.abort();
  bmcs.disconnect();
  await connection.close();
  await rm(paths.root, { recursive: true, force: true });
}
process.exit(0);
