/**
 * These begin first. The first one makes the image (the other lane does, when all is run); the others are the longest of the
 * rest: what is long and begins last leaves a processor idle at the end.
 */
const FIRST = ['image/build/image', 'orchestrator/rollout/run/', 'bootserver/dhcp/start', 'test/cli/'];
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
  // Beside a lane of boots that keeps one processor busy, and that is the longer one: a third file would only hold it up.
  concurrency: 2,
};
