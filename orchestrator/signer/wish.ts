import type { By } from '../fleet/acting.ts';
import type { NodeChange } from '../fleet/events/set.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { SetNode } from '../fleet/set.ts';
import { want } from '../install/want.ts';
import { say, Words } from './words.ts';

/**
 * `want` for people: a wish that a disk be wiped is also said where the signer looks, and taken back there. Said last,
 * so that a wish that was refused leaves no word behind; until it is there the installer is refused, and asks again.
 * @param words file of the words
 */
export function wantAloud(words: string): typeof want {
  return async (fleet: Fleet, id: string, change: NodeChange, by: By): Promise<SetNode> => {
    const done = await want(fleet, id, change, by);
    if (done.record.wanted.wipe) {
      if (change.wipe === true) await say(words, { say: 'wipe', node: id }, by);
    } else if ((await new Words(words).current()).wipes.has(id))
      await say(words, { say: 'keep-data', node: id }, by);
    return done;
  };
}
