export default {
  files: ['test/**/*.test.ts', '!test/e2e/**', '!test/rack/**'],
  extensions: { ts: 'module' },
  require: ['./test/times.ts'],
  timeout: '5m',
  workerThreads: false,
  concurrency: 2,
};
