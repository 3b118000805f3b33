import type { BootIntent, Sighting } from '../../bootserver/directory.ts';
import { pinOf } from './events/pin.ts';
import { type NodeRecord, neverIn } from './record.ts';
import type { Site } from './site.ts';

export type IntentContext = {
  site: Site;
  /** Whether an open expectation names this MAC. */
  expected: boolean;
  /** Version of the image for nodes without a wanted version; null: none is published. */
  defaultImage: string | null;
  /** An incident keeps it off its disk, whatever its record says. */
  keptOff: boolean;
  /** Why the image that a degraded node ran last may not run any more; null: it may, or the node is not degraded. */
  unfit: string | null;
  /**
   * Why an image is given to nobody here, whatever the records want: those can be rewritten by whoever owns Redis; null: it may
   * be given.
   */
  barred: (version: string) => string | null;
  /** Milliseconds since the epoch. */
  now: number;
};

/**
 * What the fleet wants of a machine that boots from the network. The MAC proves nothing: the answer is the same public
 * image for all, or silence, never a secret.
 */
export function intentFor(record: NodeRecord | null, sighting: Sighting, c: IntentContext): BootIntent {
  if (sighting.arch === 'bios' && c.site.policy.bios === 'refuse') {
    return { kind: 'refuse', reason: `site ${c.site.name} refuses machines that boot by BIOS` };
  }
  if (record === null) {
    if (!c.site.policy.acceptUnknown && !c.expected) {
      return {
        kind: 'refuse',
        reason: `site ${c.site.name} takes only expected machines; bootwave node expect --mac ${sighting.mac} --site ${c.site.name}`,
      };
    }
    return image([], c, c.expected ? 'expected' : 'new hardware');
  }
  // A machine that was never let in has no claim on a MAC: a stranger that shows the MAC of a future machine, and is
  // rejected, must not keep that machine out. It gets what any new machine gets.
  if (neverIn(record)) return intentFor(null, sighting, c);
  // Refused and not sent to its disk: what is on the disk of a removed machine is not our business to start.
  if ((record.state === 'rejected' || record.state === 'retired') && !c.expected) {
    const next = record.state === 'rejected' ? `approve ${record.name}` : `expect --mac ${sighting.mac}`;
    return { kind: 'refuse', reason: `node ${record.name} is ${record.state}; bootwave node ${next}` };
  }
  if (c.keptOff) return image([], c, `node ${record.name} is held and must not start from its disk`);
  // As `wantedImage` has it; and where that is barred, still not the newest.
  const pinned = pinOf(record, c.now)?.image ?? null;
  const wanted = [record.wanted.image, pinned];
  if (record.state === 'quarantined' || record.state === 'recovering') {
    return image(wanted, c, `node ${record.name} is ${record.state} and must not start from its disk`);
  }
  if (record.wanted.mode === 'installed' && record.installedAt !== null) {
    // Its own disk would start the image again for which it is refused.
    if (c.unfit !== null && c.site.policy.image === 'enforce' && record.state === 'degraded')
      return image([pinned], c, `node ${record.name} is installed, and ${c.unfit}`);
    return { kind: 'disk', reason: `node ${record.name} is installed` };
  }
  return image(wanted, c, `node ${record.name}`);
}

function image(wanted: readonly (string | null)[], c: IntentContext, reason: string): BootIntent {
  let not = '';
  for (const version of [...wanted, c.defaultImage]) {
    if (version === null) continue;
    const why = c.barred(version);
    if (why === null) return { kind: 'image', version, reason: `${reason}${not}` };
    if (not === '') not = `; ${why}`;
  }
  const none = 'no image is published, or all are withdrawn; bootwave image build, bootwave image withdrawn';
  return { kind: 'refuse', reason: `${none}${not}` };
}
