/**
 * The cause of a trouble, as far as signals and the place of nodes show it. Pure: the rollout
 * engine asks it before it blames a version.
 */
export type Cause =
  /** The orchestrator reaches nobody: its own uplink, or something that all nodes depend on, failed. */
  | { kind: 'own-uplink' }
  | { kind: 'site'; site: string }
  /** One rack: its switch or its power. */
  | { kind: 'rack'; site: string; rack: string }
  /**
   * Nodes that did not change are unhealthy as well: something that they all use (time, names, storage) has failed.
   * Null: at several sites.
   */
  | { kind: 'surroundings'; site: string | null }
  /** Its boot server, or the way to it: nodes of this site cannot fetch what others have fetched. */
  | { kind: 'boot-server'; site: string }
  /** Several nodes report it: the cause is the orchestrator. */
  | { kind: 'own-clock' }
  | { kind: 'node-clock' }
  /** The version must not be ordered: withdrawn, below the floor, not published. A person has to decide. */
  | { kind: 'rules' }
  /** Several nodes do not obey what is signed: their images do not know the key, or the form. A person has to decide. */
  | { kind: 'orders' }
  /** It alone does not obey what is signed. */
  | { kind: 'disobeys' }
  /** The machine's own: its disk, its memory. */
  | { kind: 'hardware' }
  /** It was unhealthy before the change reached it. */
  | { kind: 'ill-before' }
  /** It alone became silent, long after the change, while all others are well: switched off, or a fault of its own. */
  | { kind: 'gone-alone' }
  /** Nothing else explains it. */
  | { kind: 'change' };

export function describe(cause: Cause): string {
  switch (cause.kind) {
    case 'own-uplink':
      return "no node is heard any more: it looks like the orchestrator's own uplink";
    case 'site':
      return `site ${cause.site} went silent as a whole: it looks like its uplink or its power`;
    case 'rack':
      return `rack ${cause.rack} of ${cause.site} went silent as a whole: it looks like its switch or its power`;
    case 'surroundings':
      return cause.site === null
        ? 'nodes that did not change are ill as well: it looks like something that all of them use'
        : `nodes of ${cause.site} that did not change are ill as well: it looks like something that the site uses`;
    case 'boot-server':
      return `nodes of ${cause.site} cannot fetch what others have: it looks like its boot server, or the way to it`;
    case 'own-clock':
      return "nodes refuse orders for their time: it looks like the orchestrator's clock";
    case 'node-clock':
      return 'it refuses orders for their time: it looks like its clock';
    case 'rules':
      return 'the signer does not sign it';
    case 'orders':
      return 'nodes do not obey what is signed: it looks like the order key, or an image that is too old for such orders';
    case 'disobeys':
      return 'it alone does not obey what is signed';
    case 'hardware':
      return 'its own hardware';
    case 'ill-before':
      return 'it was ill before';
    case 'gone-alone':
      return 'it alone is silent, after it was done: switched off?';
    case 'change':
      return 'the change';
  }
}

/** Whether two causes are the same trouble. */
export function same(a: Cause, b: Cause): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
