/**
 * Every key that the fleet keeps in Redis. The hash tag puts all of them into one slot, so that one script may touch
 * them together in a Cluster too. bull's queues take the prefix `{bootwave}:bull`.
 */
/** A key of ours. */
export const at = (...parts: string[]) => ['{bootwave}', ...parts].join(':');

export const KEYS = {
  /** Hash: state, epoch, body, write, and what scripts look at without parsing the body. */
  node: (id: string) => at('node', id),
  site: (name: string) => at('site', name),
  expectation: (id: string) => at('expectation', id),

  /** Sets of ids. */
  nodes: at('nodes'),
  nodesInState: (state: string) => at('nodes', 'state', state),
  nodesOfSite: (site: string) => at('nodes', 'site', site),
  sites: at('sites'),
  expectations: at('expectations'),

  /** Hashes: unique value -> id of the owner. */
  names: at('names'),
  macs: at('macs'),
  /** Serial number -> owner, as versions up to November 2026 wrote it; read only. */
  olderSerials: at('serials'),
  certificates: at('certificates'),
  /** Set: ids of all records that show a MAC or a serial number; neither is always unique. */
  showing: (kind: 'mac' | 'serial', value: string) => at('showing', kind, value),
  /** `mac:...`, `serial:...`, `ek:...`, `token:<sha256>` -> expectation id. */
  expected: at('expected'),

  /** Sorted set: node id by milliseconds of its last heartbeat. */
  seen: at('seen'),

  /** Machines by MAC; they may exist before a node record and beside it. */
  machines: at('machines'),
  machine: at('machine'),
  boots: (mac: string) => at('boots', mac),

  /** Hash: model -> values of PCR 7 that its members have shown, with spaces between them. */
  pcr7: at('pcr7'),
  /** The firmware values that machines of a model may show, and the set of all such models. */
  firmware: (model: string) => at('firmware', 'of', model),
  firmwares: at('firmware'),
  /** Hash: node id -> model under which it was let in. */
  firmwareModel: at('firmware', 'model'),
  /**
   * Hash: name of an attestation key -> resetCount, restartCount and clock that it showed last, and the number of the
   * newest nonce that had been given then.
   */
  clocks: at('clocks'),
  /** How many nonces were issued to machines: the number of the newest. */
  nonces: at('nonces'),
  /** Sorted set: node id by milliseconds of its last good attestation. */
  attested: at('attested'),

  /** Requests of one person that another has to approve. */
  request: (id: string) => at('request', id),
  requests: at('requests'),
  /** Specs without a version that the fleet keeps, and the set of all names. */
  template: (name: string) => at('template', name),
  templates: at('templates'),
  /** Hash: site -> milliseconds of the last sign of life of a boot server that listens to its machines. */
  listened: at('listened'),
  /** Hash: server -> what it has loaded, and when it last said so. */
  servers: at('servers'),

  /** Streams. */
  audit: at('audit'),
  /** Hash: number and hash of the newest entry of the audit stream. */
  auditHead: at('audit', 'head'),
  /** Where the audit stream begins since older entries were moved to files. */
  auditArchive: at('audit', 'archive'),
  auditOf: (node: string) => at('audit', 'of', node),
  outbox: at('outbox'),
  /** Also the channel on which its readers are notified. */
  bans: at('bans'),
} as const;
