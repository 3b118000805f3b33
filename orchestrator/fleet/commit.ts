import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { digestOf, GENESIS, LINK_LUA } from './audit/chain.ts';
import { taggerOf } from './audit/tags.ts';
import { foresightOf } from './foresight.ts';
import { KEYS } from './keys.ts';
import { script } from './script.ts';

/** One record: any hash with a state and an epoch. Nodes, sites and expectations today, rollouts and steps later. */
export type RecordChange = {
  key: string;
  /** The state and epoch that the record must have now; null: it must not exist. */
  expect: { state: string; epoch: number } | null;
  next: {
    state: string;
    epoch: number;
    /** The whole record, JSON. */
    body: string;
    /** Further hash fields, for scripts that must not parse the body. */
    fields?: Readonly<Record<string, string>>;
  };
};

/**
 * Side effects that are written together with the records, or not at all. `claim`, `older` and `is` are conditions as
 * well.
 */
export type Op =
  | { op: 'join' | 'leave'; key: string; value: string }
  /** Takes a unique value; refused as `taken` unless it is free, already ours, or owned by one of `from`. */
  | { op: 'claim'; key: string; field: string; owner: string; from?: readonly string[] }
  /** Takes a value only when it is free; never refused. */
  | { op: 'offer'; key: string; field: string; owner: string }
  /** Releases a value when it is ours. */
  | { op: 'release'; key: string; field: string; owner: string }
  | { op: 'score'; key: string; member: string; score: number }
  | { op: 'unscore'; key: string; member: string }
  /** Adds an entry to a stream and notifies the subscribers of the channel with the same name. */
  | { op: 'append'; key: string; value: string; seal: string }
  /** Refused as a conflict when the member's score has risen above `than`. */
  | { op: 'older'; key: string; member: string; than: number }
  /** Refused as a conflict unless this record, which is not changed, is in this state and epoch. */
  | { op: 'is'; key: string; state: string; epoch: number };

/** `entry` is JSON; `node` also enters it into that node's own history. */
export type AuditLine = { entry: string; node?: string };

export type Change = {
  records: readonly RecordChange[];
  ops?: readonly Op[];
  audit?: readonly AuditLine[];
  /** Wake-ups for the queue, read by a relay: at least once, so their readers look before they act. */
  outbox?: readonly { topic: string; body: string }[];
};

export type Committed =
  | { result: 'done' }
  /** Another writer was faster: read again. */
  | { result: 'conflict'; key: string }
  /** A unique value belongs to another. */
  | { result: 'taken'; key: string; field: string; owner: string };

/** From this many audit entries on it is faster to read the chain's head again than to hash in Redis. */
const MANY = 4;
/** Reads of the head before Redis hashes after all: others write in between. */
const LOOKS = 3;

/**
 * All or nothing: compares every record with (state, epoch), checks every claim, then writes records, indexes, audit
 * (chained) and outbox. The write's own id stays in the record, so a command that ioredis sends again after a lost
 * reply is recognised as done. Arguments: the change; how many audit entries; hash and number of the head that their
 * own hashes, from the sixth argument on, continue; `look` to change nothing when the chain has another head.
 */
const commitScript = script<string[]>(`${LINK_LUA}
local audits = tonumber(ARGV[2])
local seq, hash, foreseen
if audits > 0 then
  local head = redis.call('HMGET', KEYS[1], 'seq', 'hash')
  seq, hash = tonumber(head[1] or '${GENESIS.seq}'), head[2] or '${GENESIS.hash}'
  foreseen = hash == ARGV[3] and string.format('%.0f', seq) == ARGV[4]
  if not foreseen and ARGV[5] == 'look' then return {'moved', string.format('%.0f', seq), hash} end
end
local change = cjson.decode(ARGV[1])
local mine = false
for _, r in ipairs(change.records) do
  local now = redis.call('HMGET', KEYS[r.key], 'state', 'epoch', 'write')
  if now[3] == change.write then
    mine = true
  elseif r.state == '' then
    if now[1] then return {'conflict', KEYS[r.key]} end
  elseif now[1] ~= r.state or now[2] ~= r.epoch then
    return {'conflict', KEYS[r.key]}
  end
end
if mine then return {'done', '', ''} end
for _, o in ipairs(change.ops) do
  if o.op == 'claim' then
    local owner = redis.call('HGET', KEYS[o.key], o.field)
    if owner and owner ~= o.owner then
      local free = false
      for _, from in ipairs(o.from) do free = free or owner == from end
      if not free then return {'taken', KEYS[o.key], o.field, owner} end
    end
  elseif o.op == 'is' then
    local now = redis.call('HMGET', KEYS[o.key], 'state', 'epoch')
    if now[1] ~= o.state or now[2] ~= o.epoch then return {'conflict', KEYS[o.key]} end
  elseif o.op == 'older' then
    local score = redis.call('ZSCORE', KEYS[o.key], o.member)
    if score and tonumber(score) > tonumber(o.than) then return {'conflict', KEYS[o.key]} end
  end
end
for _, r in ipairs(change.records) do
  redis.call('DEL', KEYS[r.key])
  redis.call('HSET', KEYS[r.key], 'write', change.write, unpack(r.set))
end
for _, o in ipairs(change.ops) do
  local key = KEYS[o.key]
  if o.op == 'join' then redis.call('SADD', key, o.value)
  elseif o.op == 'leave' then redis.call('SREM', key, o.value)
  elseif o.op == 'claim' then redis.call('HSET', key, o.field, o.owner)
  elseif o.op == 'offer' then redis.call('HSETNX', key, o.field, o.owner)
  elseif o.op == 'release' then
    if redis.call('HGET', key, o.field) == o.owner then redis.call('HDEL', key, o.field) end
  elseif o.op == 'score' then redis.call('ZADD', key, o.score, o.member)
  elseif o.op == 'unscore' then redis.call('ZREM', key, o.member)
  elseif o.op == 'append' then redis.call('PUBLISH', key, redis.call('XADD', key, '*', 'entry', o.value, 'seal', o.seal))
  end
end
if audits > 0 then
  for i, a in ipairs(change.audit) do
    seq = seq + 1
    hash = foreseen and ARGV[5 + i] or link(hash, seq, a.digest)
    local id = redis.call('XADD', KEYS[change.log], '*',
      'entry', a.entry, 'seq', string.format('%.0f', seq), 'hash', hash)
    if a.of then redis.call('XADD', KEYS[a.of], id, 'r', '') end
  end
  redis.call('HSET', KEYS[1], 'seq', string.format('%.0f', seq), 'hash', hash)
end
for _, m in ipairs(change.outbox) do
  redis.call('XADD', KEYS[change.out], '*', 'topic', m.topic, 'body', m.body)
end
return {'done', seq and string.format('%.0f', seq) or '', hash or ''}
`);

export async function commit(redis: Redis, change: Change): Promise<Committed> {
  const tagger = taggerOf(redis);
  const lines = (change.audit ?? []).map(({ entry, node }) => ({ node, entry: tagger?.tag(entry) ?? entry }));
  const keys: string[] = [];
  const places = new Map<string, number>();
  const place = (key: string): number => {
    const known = places.get(key);
    if (known !== undefined) return known;
    places.set(key, keys.push(key));
    return keys.length;
  };
  // The script wants it as the first key.
  place(KEYS.auditHead);
  const wire = {
    write: randomBytes(9).toString('base64url'),
    records: change.records.map(({ key, expect, next }) => ({
      key: place(key),
      state: expect?.state ?? '',
      epoch: String(expect?.epoch ?? 0),
      set: [
        ['state', next.state],
        ['epoch', String(next.epoch)],
        ['body', next.body],
        ...Object.entries(next.fields ?? {}),
      ].flat(),
    })),
    ops: (change.ops ?? []).map((op) => ({
      ...op,
      key: place(op.key),
      ...(op.op === 'claim' ? { from: op.from ?? [] } : {}),
      // Numbers travel as text: Lua would print large ones in scientific notation.
      ...(op.op === 'score' ? { score: String(op.score) } : {}),
      ...(op.op === 'older' ? { than: String(op.than) } : {}),
      ...(op.op === 'is' ? { epoch: String(op.epoch) } : {}),
    })),
    audit: lines.map(({ entry, node }) => ({
      entry,
      digest: digestOf(entry),
      ...(node === undefined ? {} : { of: place(KEYS.auditOf(node)) }),
    })),
    outbox: change.outbox ?? [],
    log: place(KEYS.audit),
    out: place(KEYS.outbox),
  };
  const body = JSON.stringify(wire);
  const digests = wire.audit.map(({ digest }) => digest);
  const foresight = foresightOf(redis);
  for (let look = 1; ; look += 1) {
    const { from, links } = foresight.foresee(digests);
    const mayLook = digests.length >= MANY && look <= LOOKS ? 'look' : '';
    const hashes = links.map((link) => link.hash);
    const args = [body, String(digests.length), from.hash, String(from.seq), mayLook, ...hashes];
    const [result, key = '', field = '', owner = ''] = await commitScript(redis, keys, args);
    if (result === 'taken') return { result, key, field, owner };
    if (result === 'conflict') return { result, key };
    // Number and hash of the newest entry, if the reply contains them.
    if (key !== '' && field !== hashes.at(-1)) foresight.learn({ seq: Number(key), hash: field });
    if (result === 'done') return { result };
  }
}
