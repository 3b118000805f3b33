export default {
  // Random power cuts take minutes and stand beside what they cut.
  files: ['test/rack/**/*.test.ts', 'test/**/*.rack.ts'],
  extensions: { ts: 'module' },
  require: ['./test/times.ts'],
  // A boot under emulation is silent for minutes on a busy machine; each wait has its own limit.
  timeout: '60m',
  workerThreads: false,
  concurrency: 1,
  serial: true,
};
