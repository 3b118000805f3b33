/**
 * These begin first, by folder or file. The first one makes the image (the other lane does, when all is run); the others are those
 * that take longest, most of it waiting: what is long and begins last leaves a processor idle at the end.
 */
const FIRST = [
  'image/build/image',
  'orchestrator/rollout/run/',
  'orchestrator/up/',
  'image/agent/root/disk/',
  'image/agent/root/services/',
  'lab/boot',
  'lab/cli',
  'lab/sim/rehearsal',
  'orchestrator/doctor/doctor',
  'docs/walkthrough',
  'bootserver/dhcp/start',
  'test/cli/',
];
/** This one waits for the image, too. */
const LAST = 'image/build/disk-full';

function place(file) {
  const first = FIRST.findIndex((part) => file.includes(part));
  return file.includes(LAST) ? FIRST.length + 1 : first === -1 ? FIRST.length : first;
}

export default {
  files: ['test/**/*.test.ts', '!test/e2e/**', '!test/rack/**'],
  extensions: { ts: 'module' },
  require: ['./test/times.ts'],
  sortTestFiles: (a, b) => place(a) - place(b) || (a < b ? -1 : 1),
  timeout: '5m',
  workerThreads: false,
  // Of two processors a lane of boots keeps one busy. Most files wait more than they work, so that three fill the other one.
  concurrency: 3,
};
