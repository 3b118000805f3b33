/**
 * What of a data directory goes into a backup: every entry is classified here, and nowhere else. Pure. What no line here
 * knows is taken along and named (`unknown`): a later version's file is never left out in silence.
 */

export type Part =
  /** As it is. */
  | 'keep'
  /** Only ever appended to: its whole lines. A restore joins it with what survived elsewhere. */
  | 'grows'
  /** The signer's ledger: grows, and lines refer to lines. */
  | 'ledger'
  /** Large, and named by its digest elsewhere: may be left out. */
  | 'large'
  /** Redis is asked for its content instead. */
  | 'records'
  /** Locks, sockets, unfinished files, and what is made again from the rest. */
  | 'made'
  | 'unknown';

/** Of a folder inside the data directory in which a restore works, until all of it is whole. */
export const PARTIAL = 'restore.partial';

/**
 * The first line that fits counts. `turn`: what is copied later may know more than what was copied before, never less.
 * Seals name entries of the history in Redis, Redis names orders, those rest on decisions, and decisions name CAs.
 */
const CONTENTS: readonly (readonly [RegExp, Part, turn?: number])[] = [
  [/(?:^|\/)(?:\.?lock|[^/]*\.(?:lock|tmp|sock))$/, 'made'],
  [/^(?:run|restore\.partial|lost\+found)(?:\/|$)/, 'made'],
  [/^bundles\/\.making-/, 'made'],
  [/^releases\/\.metadata$/, 'made'],
  [/^bans\.log\.(?:snapshot|room)$/, 'made'],
  // An older one would let what came since be sent again; without any, a server takes nothing that was signed before its start.
  [/^bootserver\/webhooks\.json$/, 'made'],
  [/^audit\/seals\.jsonl$/, 'grows', 0],
  [/^redis(?:\/|$)/, 'records', 1],
  [/^signer\/signed\.jsonl$/, 'ledger', 2],
  [/^signer\/words\.jsonl$/, 'grows'],
  [/^bans\.log$/, 'grows'],
  [/^flows\/.*\.jsonl$/, 'grows'],
  [/^audit\/archive\/[^/]+\.jsonl\.gz$/, 'keep'],
  [/^images\/[^/]+\.json$/, 'keep'],
  [/^(?:images|bundles)\//, 'large'],
  [/^(?:loaders|releases|power|consoles|evidence|flows|secrets|bootserver)\//, 'keep'],
  [/^(?:advisories|rehearsal)\.json$/, 'keep'],
  [/^keys\/operators\/register\.jsonl$/, 'grows', 4],
  [/^keys\//, 'keep', 4],
];
const LATER = 3;

/** @param path below the data directory, with `/` between its parts */
export function partOf(path: string): { part: Part; turn: number } {
  const [, part = 'unknown', turn = LATER] = CONTENTS.find(([pattern]) => pattern.test(path)) ?? [];
  return { part, turn };
}

/** Names that a backup may have put anywhere: below the data directory, and nowhere else. */
export function isInside(path: string): boolean {
  const parts = path.split('/');
  return path.length <= 1024 && !/[\0\\]/.test(path) && parts.every((one) => !['', '.', '..'].includes(one));
}
