/** Who has sent something: from what a node has told to an answer that says how sure it is. Pure. */
import type { Way } from '../../protocol/agent/flows.ts';
import { ALL, type Line } from './line.ts';

/** Milliseconds since the epoch. */
export type Asked = {
  from: number;
  until: number;
  to?: string | undefined;
  port?: number | undefined;
  protocol?: 'tcp' | 'udp' | undefined;
};

export type Sender = {
  /** Full name, and the version that ran; null: the node did not know any more. */
  service: string;
  version: string | null;
  /** `sent`: it opened the connection. `answered`: the other end did, to its port. `wide`: see `sure`. */
  way: Way;
  /** Of `wide` the first address of 2^24; 0.0.0.0: of all. */
  to: string;
  protocol: 'tcp' | 'udp' | null;
  port: number | null;
  packets: number;
  bytes: number;
  /** It was sent between these. */
  from: number;
  until: number;
  /** False: its record was full, and what was sent to this address is among what is counted here, or is not. */
  sure: boolean;
};

export type Found = {
  senders: Sender[];
  /** Times of those asked about of which the node has told nothing. */
  gaps: { from: number; until: number }[];
  /** The clock of this server was set back meanwhile: its times are not to be relied on. */
  setBack: boolean;
};

/** Milliseconds by which two answers in a row may lie apart: their way over the link. */
const SLACK = 5_000;

export function findSenders(all: readonly Line[], asked: Asked, now: number): Found {
  const lines = [...new Map(all.map((line) => [`${line.life} ${line.number}`, line])).values()];
  const found = new Map<string, Sender>();
  for (const line of lines)
    for (const flow of line.flows) {
      const sender = senderOf(line, flow, asked);
      if (sender === null) continue;
      const { service, version, way, to, protocol, port } = sender;
      const key = [service, version, way, to, protocol, port].join(' ');
      const known = found.get(key);
      if (known === undefined) found.set(key, sender);
      else {
        known.packets += sender.packets;
        known.bytes += sender.bytes;
        known.from = Math.min(known.from, sender.from);
        known.until = Math.max(known.until, sender.until);
      }
    }
  const senders = [...found.values()].sort((a, b) => Number(b.sure) - Number(a.sure) || b.bytes - a.bytes);
  return { senders, gaps: gapsOf(lines, asked, now), setBack: isSetBack(lines) };
}

function senderOf({ heard, instances }: Line, flow: Line['flows'][number], asked: Asked): Sender | null {
  const [of, way, to, protocol, port, packets, bytes, since, last] = flow;
  const [from, until] = [heard - since * 1000, heard - last * 1000];
  const instance = instances[of];
  if (instance === undefined || until < asked.from || from > asked.until) return null;
  const sure = way !== 'wide';
  const isAsked = sure
    ? (asked.to === undefined || asked.to === to) &&
      (asked.protocol === undefined || asked.protocol === protocol) &&
      // Where it answers, the port of the other end is not kept.
      (asked.port === undefined || asked.port === port || way === 'answered')
    : asked.to === undefined || to === ALL || asked.to.split('.')[0] === to.split('.')[0];
  if (!isAsked) return null;
  const [service, version] = instance;
  return { service, version, way, to, protocol, port, packets, bytes, from, until, sure };
}

function gapsOf(lines: readonly Line[], { from, until }: Asked, now: number): Found['gaps'] {
  const gaps: Found['gaps'] = [];
  let known = from;
  for (const line of lines.toSorted((a, b) => a.from - b.from)) {
    if (line.from > until) break;
    if (line.from > known + SLACK) gaps.push({ from: known, until: line.from });
    known = Math.max(known, line.until);
  }
  const end = Math.min(until, now);
  if (known + SLACK < end) gaps.push({ from: known, until: end });
  return gaps;
}

const isSetBack = (lines: readonly Line[]): boolean =>
  lines.some((line, i) => i > 0 && line.heard + SLACK < lines[i - 1]!.heard);
