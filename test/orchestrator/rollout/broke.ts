/** Worlds in which a rule was broken once: the property of faults.test.ts tries them before all others. */
const CALM = { disorder: 0.05, crash: 0, failover: 0, operator: 0, barrier: false } as const;

const NONE = { wave: 0, whole: 0 };
const SOME = { wave: 2, whole: 3 };
const NARROW = { whole: 4, site: 1, rack: 1 };
const WIDE = { whole: 100, site: '50%', rack: 2 };

export const BROKE = [
  // Where orchestrators come and go, nobody ever hears a node's silence out.
  {
    ...CALM,
    seed: 16,
    nodes: 10,
    sites: 5,
    faults: 0.05,
    kinds: ['hang', 'restarts-staged'],
    crash: 0.3,
    spec: { budget: NONE, limits: NARROW, gates: [{ kind: 'pcr11' }], onSpent: 'pause' },
  },
  // A budget that is spent while it waits by itself.
  {
    ...CALM,
    seed: 1694204272,
    nodes: 21,
    sites: 1,
    faults: 0.6,
    kinds: ['panic', 'lies-running', 'revert'],
    disorder: 0.4,
    spec: { budget: SOME, limits: { whole: 1, site: 1, rack: 1 }, gates: [], onSpent: 'pause' },
  },
  // A dead node frees a place in the middle of the way back.
  {
    ...CALM,
    seed: 602351790,
    nodes: 6,
    sites: 6,
    faults: 0.6,
    kinds: ['slow', 'reboot-loop', 'sick', 'lies-staged', 'lies-running', 'vanish', 'revert'],
    disorder: 0,
    crash: 0.1,
    spec: { budget: NONE, limits: NARROW, gates: [{ kind: 'pcr11' }], onSpent: 'rollback' },
  },
  // Who is silent is not the next to go back.
  {
    ...CALM,
    seed: 205839441,
    nodes: 39,
    sites: 4,
    faults: 0.6,
    kinds: [
      'slow',
      'panic',
      'reboot-loop',
      'sick',
      'flap',
      'lies-running',
      'vanish',
      'vanish-early',
      'revert',
    ],
    disorder: 0.4,
    barrier: true,
    spec: { budget: NONE, limits: WIDE, gates: [], onSpent: 'pause' },
  },
  // Two that were done stray in one step.
  {
    ...CALM,
    seed: 636182253,
    nodes: 19,
    sites: 1,
    faults: 0.6,
    kinds: ['revert'],
    disorder: 0.4,
    crash: 0.3,
    operator: 0.05,
    barrier: true,
    spec: { budget: NONE, limits: WIDE, gates: [], onSpent: 'rollback' },
  },
  // A stray is sent back in the very step that finds it.
  {
    ...CALM,
    seed: 1728126671,
    nodes: 12,
    sites: 1,
    faults: 0.05,
    kinds: [
      'slow',
      'hang',
      'panic',
      'reboot-loop',
      'sick',
      'flap',
      'lies-staged',
      'lies-running',
      'vanish',
      'vanish-early',
      'revert',
      'cannot-stage',
    ],
    disorder: 0,
    crash: 0.3,
    failover: 0.03,
    operator: 0.05,
    barrier: true,
    spec: { budget: { wave: '30%', whole: '20%' }, limits: NARROW, gates: [], onSpent: 'pause' },
  },
  // One that was done, in a wave that is over, is dead when all goes back.
  {
    ...CALM,
    seed: 2147483625,
    nodes: 31,
    sites: 2,
    faults: 0.6,
    kinds: [
      'slow',
      'hang',
      'panic',
      'reboot-loop',
      'sick',
      'flap',
      'lies-running',
      'vanish',
      'vanish-early',
      'revert',
      'cannot-stage',
    ],
    disorder: 0.4,
    barrier: true,
    spec: { budget: SOME, limits: WIDE, gates: [{ kind: 'check', name: 'ok' }], onSpent: 'rollback' },
  },
  // A person ends it while a place is dead.
  {
    ...CALM,
    seed: 391510837,
    nodes: 6,
    sites: 2,
    faults: 0.6,
    kinds: ['vanish', 'vanish-early', 'revert'],
    crash: 0.3,
    barrier: true,
    spec: { budget: SOME, limits: WIDE, gates: [], onSpent: 'rollback' },
  },
  // One that is down gets another try: nobody counted it until the next look.
  {
    ...CALM,
    seed: 473659450,
    nodes: 34,
    sites: 6,
    faults: 0.6,
    kinds: ['hang', 'flap'],
    disorder: 0.4,
    crash: 0.3,
    spec: {
      budget: { wave: '30%', whole: '20%' },
      limits: WIDE,
      gates: [{ kind: 'pcr11' }],
      onSpent: 'pause',
    },
  },
  // Two failovers: the second one forgets a way back whose number is above all that is known then.
  {
    ...CALM,
    seed: 22,
    nodes: 7,
    sites: 5,
    faults: 0.6,
    kinds: ['revert'],
    disorder: 0.4,
    failover: 0.03,
    operator: 0.05,
    spec: { budget: { wave: '30%', whole: '20%' }, limits: WIDE, onSpent: 'pause' },
  },
] as const;
