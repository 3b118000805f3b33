/** Releasing services in a rack, from a bundle that is made already. */
import { cp, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { releaseService } from '../../image/publish/services.ts';
import type { OrderedService } from '../../protocol/order.ts';
import { type Manifest, manifestSchema } from '../../protocol/service/manifest.ts';
import { fullName } from '../../protocol/service/name.ts';
import type { Bundle } from '../image/agent/root/services/bundles.ts';
import type { Rack } from './rack.ts';

/** As `service publish` does. @param script of busybox's shell @param more of the manifest */
export async function release(
  rack: Rack,
  bundle: Bundle,
  written: string,
  script: string,
  more: object = {},
): Promise<OrderedService> {
  const [service = '', version = ''] = written.split(':');
  const name = fullName(service);
  const manifest: Manifest = manifestSchema.parse({
    command: ['/bin/sh', '-c', script],
    env: { PATH: '/bin' },
    limits: { memory: 32 * 2 ** 20, cpu: 50, tasks: 16 },
    ...more,
  });
  const { sha256, size, rootHash, dataBytes } = bundle;
  const file = `${bundle.file}.copy`;
  await cp(bundle.file, file);
  await releaseService(
    { file, sha256, size, custom: { format: 1, service: name, version, rootHash, dataBytes, manifest } },
    { paths: rack.paths },
  );
  await rm(file, { force: true });
  return { name, version, sha256, size };
}

/** What a node answers at a port, as a neighbour on its network sees it; empty while it does not. */
export async function fetched(rack: Rack, node: string, port: number, path = '/'): Promise<string> {
  const { observed } = await rack.record(node);
  const args = ['-sf', '-m', '20', `http://${observed.address}:${port}${path}`];
  return (await rack.lab.inNamespace('curl', args, { timeout: 60_000 })).stdout;
}

/** What is shown once it holds, or what was last when the time is over. @param timeout milliseconds */
export async function shownBy(what: () => Promise<string>, holds: RegExp, timeout: number): Promise<string> {
  let last = '';
  for (const end = performance.now() + timeout; performance.now() < end; await sleep(1000)) {
    last = await what();
    if (holds.test(last)) break;
  }
  return last;
}
