export default {
  files: ['test/e2e/**/*.test.ts'],
  extensions: { ts: 'module' },
  require: ['./test/times.ts'],
  // A boot under emulation is silent for minutes on a busy machine; each wait has its own limit.
  timeout: '25m',
  workerThreads: false,
  concurrency: 1,
};
