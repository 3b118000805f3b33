/**
 * Files that wait most of the time, for nodes, clocks and deadlines, by folder or file; those that take longest first. `make test`
 * runs two of them beside three of the others: among these they leave a processor idle.
 */
const WAITING = [
  'lab/sim/rehearsal',
  'orchestrator/rollout/run/',
  'lab/cli',
  'orchestrator/doctor/doctor',
  'docs/walkthrough',
  'orchestrator/operations/console',
  'orchestrator/up/',
  'orchestrator/operations/exec/',
  'bootserver/enroll/secrets',
  'orchestrator/rollout/faults',
  'bootserver/dhcp/start',
  'bootserver/http/edges',
  'orchestrator/restraints/keep',
  'cli/node/power',
  'lab/bmc/bmc',
  'orchestrator/config/keep',
  'orchestrator/redis/sentinel',
];
/** Of the others these begin first: they take longest, and what is long and begins last leaves a processor idle at the end. */
const FIRST = ['lab/boot', 'image/agent/root/disk/', 'image/agent/root/services/', 'test/cli/'];
/** This one waits for the image, which the other lane makes. */
const LAST = 'image/build/disk-full';
const IMAGE = 'test/image/build/image.test.ts';

const ORDER = [...WAITING, ...FIRST];
function place(file) {
  const first = ORDER.findIndex((part) => file.includes(part));
  return file.includes(LAST) ? ORDER.length + 1 : first === -1 ? ORDER.length : first;
}

const ALL = ['test/**/*.test.ts', '!test/e2e/**', '!test/rack/**'];
const waiting = WAITING.map((part) => (part.endsWith('/') ? `test/${part}**/*.test.ts` : `test/${part}.test.ts`));
/** Each test is in one of these; without a name it is all of them. */
const PARTS = {
  image: [IMAGE],
  waiting,
  working: [...ALL, `!${IMAGE}`, ...waiting.map((pattern) => `!${pattern}`)],
};
const part = process.env.BOOTWAVE_TEST_PART;

export default {
  files: PARTS[part] ?? ALL,
  extensions: { ts: 'module' },
  require: ['./test/times.ts'],
  sortTestFiles: (a, b) => place(a) - place(b) || (a < b ? -1 : 1),
  timeout: '5m',
  workerThreads: false,
  // Of two processors a lane of boots keeps one busy. What works fills the other one three at a time.
  concurrency: part === 'waiting' ? 2 : 3,
};
