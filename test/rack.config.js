/** The longest first: what is long and begins last leaves a processor idle. */
const LONG = ['secure-boot-key', 'attestation', 'ca-rotation', 'rollout.test', 'copied-identity', 'old-order'];
const rank = (file) => {
  const place = LONG.findIndex((part) => file.includes(`rack/${part}`));
  return place === -1 ? LONG.length : place;
};

export default {
  // Random power cuts take minutes and stand beside what they cut.
  files: ['test/rack/**/*.test.ts', 'test/**/*.rack.ts'],
  extensions: { ts: 'module' },
  require: ['./test/times.ts'],
  // A boot under emulation is silent for minutes on a busy machine; each wait has its own limit.
  timeout: '60m',
  workerThreads: false,
  // An emulated machine keeps one processor busy, and there are two. (`serial` here would mean one file at a time: tests of
  // one file are kept apart by `test.serial`.)
  concurrency: 2,
  sortTestFiles: (a, b) => rank(a) - rank(b) || (a < b ? -1 : 1),
};
