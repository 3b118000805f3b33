/** A fleet whose Redis is believed only what was decided, with services released and nodes that have orders for them. */
import { hash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import type { DataPaths } from '../../../base/paths.ts';
import { releaseService } from '../../../image/publish/services.ts';
import { commit } from '../../../orchestrator/fleet/commit.ts';
import type { Fleet } from '../../../orchestrator/fleet/fleet.ts';
import { issuedChange, readIssued } from '../../../orchestrator/orders/issued.ts';
import type { OrderedService } from '../../../protocol/order.ts';
import { type Manifest, manifestSchema } from '../../../protocol/service/manifest.ts';
import {
  bundleOf,
  fullServiceVersion,
  parseInstanceVersion,
  parseServiceVersion,
} from '../../../protocol/service/name.ts';
import { server } from '../../attack/redis/server.ts';
import { beatOfBoot, certificateFor, enrolment } from '../fleet/support.ts';

export async function servicesFor(t: ExecutionContext) {
  const world = await server(t);
  const { fleet, paths, admit, at, redis } = world;
  await fleet.sites.add('par', {}, { actor: 'operator:test', at: 1 });
  /** Machine `n`, up, with an order for these. @returns its id */
  const member = async (n: number, services: readonly string[], site = 'default') => {
    const one = enrolment(n);
    await at(site).enrol(one);
    if (site === 'default') await admit(one);
    else {
      await fleet.approve(one.id, one.words, { actor: 'operator:ann', at: 1 });
      await at(site).recordCertificate(one.id, certificateFor(one));
    }
    await at(site).heartbeat(one.id, certificateFor(one).serial, beatOfBoot(one));
    await order(fleet, one.id, services);
    return one.id;
  };
  const release = (service: string, manifest: Partial<Manifest> = {}) => published(paths, service, manifest);
  return {
    ...world,
    redis,
    member,
    release,
    order: (id: string, all: readonly string[]) => order(fleet, id, all),
  };
}

const contentOf = (service: string) => Buffer.alloc(8192, service);
const digest = (service: string) => hash('sha256', contentOf(service));

function orderedOf(text: string): OrderedService {
  const service = parseInstanceVersion(text)!;
  return { ...service, sha256: digest(fullServiceVersion(bundleOf(service))), size: 8192 };
}

/** As publishing an image leaves it: the bytes are of no use. */
export async function published(paths: DataPaths, text: string, manifest: Partial<Manifest>): Promise<void> {
  const { name: service, version } = parseServiceVersion(text)!;
  const content = contentOf(`${service}:${version}`);
  await mkdir(paths.bundles, { recursive: true });
  const file = join(paths.bundles, `making ${Math.random()}`);
  await writeFile(file, content);
  const custom = {
    ...{ format: 1 as const, service, version, rootHash: hash('sha256', text), dataBytes: 4096 },
    manifest: manifestSchema.parse({
      ...{ command: ['/x'], limits: { memory: 2 ** 24, cpu: 1, tasks: 1 } },
      ...manifest,
    }),
  };
  await releaseService({ file, sha256: hash('sha256', content), size: content.length, custom }, { paths });
}

async function order({ redis }: Fleet, node: string, services: readonly string[]): Promise<void> {
  const inForce = (await readIssued(redis, [node])).get(node);
  const next = {
    ...{ format: 1 as const, node, epoch: (inForce?.order.epoch ?? 0) + 1, issuedAt: 1, expires: 2 ** 42 },
    ...{ mode: 'installed' as const, image: null, services: services.map(orderedOf) },
    ...{ config: null, wipe: false, forgiven: [] },
  };
  await commit(redis, {
    records: [issuedChange(inForce, { order: next, rollout: 'test', kind: 'activate' })],
  });
}
