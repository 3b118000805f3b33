/** A log of decisions such as a fleet has after some years, on the disk and in Redis. */
import { hash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import type { Redis } from 'ioredis';
import type { DataPaths } from '../../../base/paths.ts';
import { rolloutsBegun } from '../../../orchestrator/fleet/decisions/confirm.ts';
import {
  type Entry,
  sealConfirmed,
  sealDecided,
  sealMembership,
} from '../../../orchestrator/fleet/decisions/entry.ts';
import { journalFile } from '../../../orchestrator/fleet/decisions/journal.ts';
import {
  type RolloutDecision,
  rolloutEpoch,
  rolloutKey,
} from '../../../orchestrator/fleet/decisions/rollouts.ts';
import { sealerOf } from '../../../orchestrator/fleet/decisions/seal.ts';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';

const START = Date.UTC(2026, 0, 1);
/** How often the place of a node changes that is changed often. */
const OFTEN = 50;

const digest = (text: string) => hash('sha256', text);
export const nodeOf = (i: number) => `tpm-${digest(`node ${i}`)}`;

/**
 * @param members each with the decision that let it in @param further lines: two of five are of rollouts (started, approved,
 * open, ended), the others change places of the same nodes 50 times each
 */
export function linesOf(members: number, further: number): Entry[] {
  let at = START;
  const said = (reason: string) => {
    at += 1000;
    return { actor: 'operator:anna', at, reason };
  };
  const entries: Entry[] = [
    sealConfirmed({ kind: 'confirmed', ...said('a new fleet') }),
    rolloutsBegun([], said('')) as Entry,
  ];
  const place = (i: number, number: number) =>
    sealMembership({
      ...{
        kind: 'membership',
        ...said(number === 1 ? 'approved by operator:anna' : 'labels changed'),
        node: nodeOf(i),
        number,
      },
      place: {
        ...{
          name: `web${i}`,
          site: `site${i % 100}`,
          akName: `000b${digest(`ak ${i}`)}`,
          rack: `r${i % 20}`,
          role: 'web',
        },
        ...{ labels: { batch: `${number}` }, mode: 'installed', hold: null },
      },
    });
  for (let i = 0; i < members; i += 1) entries.push(place(i, 1));
  const rollouts = Math.floor((further * 2) / 5 / 4);
  for (let i = 0; i < rollouts; i += 1) {
    const about: RolloutDecision = {
      ...{ state: 'planned', opened: false, approvals: [], of: 'image' },
      ...{ on: [`1.${i + 1}`], from: [`1.${i}`], joins: [`1.${i}`], setup: digest(`setup ${i}`) },
    };
    const approvals = [{ by: 'operator:bob', person: ['anna', 'bob'] }];
    const stages: RolloutDecision[] = [
      about,
      { ...about, approvals },
      { ...about, approvals, state: 'open', opened: true },
      { ...about, approvals, state: 'ended', opened: true, end: 'done' },
    ];
    for (const one of stages)
      entries.push(
        sealDecided({
          ...{ kind: 'record', ...said('rollout'), key: rolloutKey(`ro-${i}`) },
          ...{ epoch: rolloutEpoch(one), body: JSON.stringify(one) },
        }),
      );
  }
  const left = further - rollouts * 4;
  for (let i = 0; i < left; i += 1) entries.push(place(Math.floor(i / OFTEN), 2 + (i % OFTEN)));
  return entries;
}

/** As servers have written it. */
export async function fill(paths: DataPaths, redis: Redis, entries: readonly Entry[]): Promise<void> {
  const seal = await sealerOf(paths.keys)();
  for (let i = 0; i < entries.length; i += 500) {
    const pipeline = redis.pipeline();
    for (const { text } of entries.slice(i, i + 500))
      pipeline.xadd(KEYS.bans, '*', 'entry', text, 'seal', seal(text));
    await pipeline.exec();
  }
  await writeFile(
    journalFile(paths),
    `{"kind":"sealed"}\n${entries.map(({ text }) => `${text}\n`).join('')}`,
  );
}
