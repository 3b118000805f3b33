export default {
  files: ['test/e2e/**/*.test.ts'],
  extensions: { ts: 'module' },
  // A boot under emulation is silent for minutes on a busy machine; each wait has its own limit.
  timeout: '25m',
  workerThreads: false,
  // Two files at once: each keeps about one machine busy, and most of their time is one machine's boot.
  concurrency: 2,

};
