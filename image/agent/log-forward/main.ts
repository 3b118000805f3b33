/** bootwave-log.service: runs while the configuration names a log server. */
import { spawn } from 'node:child_process';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { readTarget } from '../../../protocol/configuration/log-target.ts';
import { forward } from './forward.ts';
import { openWay } from './send.ts';

const PLACES = {
  target: '/run/bootwave-config/log-target',
  /** In its RuntimeDirectory, which outlives the service but not the boot. */
  cursor: '/run/bootwave-log/cursor',
} as const;
/** Milliseconds between two notes of the position: this much is sent twice after a crash. */
const NOTE = 2_000;

const target = readTarget(readFileSync(PLACES.target, 'utf8'));
if (target === null) throw new Error(`${PLACES.target} does not name a log server`);

const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());

let from = ['--boot'];
try {
  from = [`--after-cursor=${readFileSync(PLACES.cursor, 'utf8')}`];
} catch {
  // The first start in this boot: everything since then.
}
const journal = spawn('journalctl', ['--output=json', '--follow', '--no-tail', ...from], {
  stdio: ['ignore', 'pipe', 'inherit'],
  signal: stop.signal,
});
journal.on('error', (error) => {
  if (!stop.signal.aborted) console.error(`bootwave-log: journalctl: ${error.message}`);
});

let last = '';
const note = () => {
  if (last === '') return;
  writeFileSync(`${PLACES.cursor}.new`, last);
  renameSync(`${PLACES.cursor}.new`, PLACES.cursor);
  last = '';
};
const timer = setInterval(note, NOTE);

await forward({
  lines: createInterface({ input: journal.stdout }),
  open: () => openWay(target),
  sent: (cursor) => {
    last = cursor;
  },
  say: (text) => console.error(`bootwave-log: ${text}`),
  signal: stop.signal,
});
clearInterval(timer);
note();
journal.kill();
// journalctl never ends by itself: the unit starts this again.
process.exit(stop.signal.aborted ? 0 : 1);
