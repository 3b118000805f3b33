/**
 * The house: a folder imports only from folders that stand above it (docs/development.md). `make check` holds it.
 */
const FLOORS = [
  ['base'],
  ['formats'],
  ['protocol'],
  ['keys'],
  // Neither imports the other.
  ['bootserver', 'image'],
  ['orchestrator'],
  ['lab'],
  ['cli'],
];

/** The same inside the orchestrator, lowest first; those of one line do not import one another. */
const ORCHESTRATOR = [
  ['rehearsal'],
  ['redis', 'transport'],
  ['fleet'],
  ['authorities', 'upkeep'],
  ['operators', 'orders', 'releases'],
  ['signer'],
  ['config', 'install', 'causes', 'mirrors', 'power', 'restraints', 'secrets', 'usage'],
  ['flows', 'services', 'slices'],
  ['rollout'],
  ['recovery'],
  ['rotation', 'secure-boot', 'doctor', 'metrics', 'backup'],
  ['up'],
  ['operations'],
];

const within = ORCHESTRATOR.flatMap((rooms, floor) =>
  rooms.map((room) => ({
    name: `orchestrator-${room}-looks-up`,
    comment: `orchestrator/${room}/ imports only from ${['itself', ...ORCHESTRATOR.slice(0, floor).flat()].join(', ')}`,
    severity: 'error',
    from: { path: `^orchestrator/${room}/` },
    to: {
      path: '^orchestrator/',
      pathNot: `^orchestrator/(${[room, ...ORCHESTRATOR.slice(0, floor).flat()].join('|')})/`,
    },
  })),
);

const upwards = FLOORS.flatMap((rooms, floor) =>
  rooms.map((room) => ({
    name: `${room}-looks-up`,
    comment: `${room}/ imports only from ${['itself', ...FLOORS.slice(0, floor).flat()].join(', ')}`,
    severity: 'error',
    from: { path: `^${room}/` },
    to: {
      path: `^(${FLOORS.flat().join('|')}|test)/`,
      pathNot: `^(${[room, ...FLOORS.slice(0, floor).flat()].join('|')})/`,
    },
  })),
);

module.exports = {
  forbidden: [
    ...upwards,
    ...within,
    {
      name: 'orchestrator-room-has-no-place',
      comment: 'a new folder of orchestrator/ has a line in ORCHESTRATOR; no file lies beside the folders',
      severity: 'error',
      from: { path: '^orchestrator/', pathNot: `^orchestrator/(${ORCHESTRATOR.flat().join('|')})/` },
      to: {},
    },
    { name: 'circle', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'member-meets-root',
      comment: 'two processes: what both need is in protocol/, formats/ or base/',
      severity: 'error',
      from: { path: '^image/agent/(member|root|log-forward)/' },
      to: { path: '^image/agent/(member|root|log-forward)/', pathNot: '^image/agent/$1/' },
    },
    {
      name: 'root-opens-sockets',
      comment: 'root speaks over the unix socket that it is started with, holds one to be alone, and gives PID 1 some for the streams of a command',
      severity: 'error',
      from: { path: '^image/agent/root/', pathNot: '^image/agent/root/(serve|disk/alone|services/exec/streams)\\.ts$' },
      to: { path: '^(net|http|https|http2|tls|dgram|node:net|node:http|node:https|node:http2|node:tls|node:dgram)$' },
    },
    {
      name: 'independent-clients',
      comment: 'the packages tftp and dhcp are clients of doctor: as servers one packet can end them',
      severity: 'error',
      from: { path: '^(base|formats|protocol|keys|bootserver|image|orchestrator|lab|cli)/', pathNot: '^orchestrator/doctor/' },
      to: { path: '^node_modules/(tftp|dhcp)/' },
    },
    {
      name: 'tests-in-product',
      severity: 'error',
      from: { pathNot: '^test/' },
      to: { path: '^(test/|node_modules/(ava|fast-check)/)' },
    },
    { name: 'not-found', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    parser: 'swc',
    // Not excluded: an arrow to what is excluded would be seen by no rule.
    doNotFollow: { path: ['node_modules', '^test/'] },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { extensions: ['.ts', '.js'], exportsFields: ['exports'], conditionNames: ['import', 'require', 'node'] },
  },
};
