import type { View } from './core/state.ts';

/** What does not change while the agent runs. */
export type Machine = { version: string; product: string; serial: string };

const SENTENCE: Record<View['phase'], string> = {
  starting: 'Looking at this machine.',
  'secure-boot-enrolling': 'This machine is new: it takes the keys of the fleet and restarts.',
  searching: 'Looking for a boot server on this network.',
  enrolling: 'Proving to the boot server who this machine is.',
  pending: 'Waiting for approval. Compare these four words with those that the boot server shows:',
  approved: 'Approved.',
  healthy: 'Healthy: a member of the fleet. Nothing to do here.',
  held: 'Held: this machine is a member that is out for now. Its disks are wiped before it is let in again.',
  rejected: 'Rejected: this machine may not join the fleet.',
  'server-lost': 'The boot server does not answer. This machine keeps trying; nothing is lost.',
};

/** Letters apart and in capitals, so that they can be read from two metres away. */
const large = (word: string) => [...word.toUpperCase()].join(' ');

function box(words: readonly string[]): string[] {
  const rows = words.map((word, i) => `${i + 1}   ${large(word)}`);
  const width = Math.max(...rows.map((row) => row.length)) + 8;
  const edge = `   +${'-'.repeat(width)}+`;
  const blank = `   |${' '.repeat(width)}|`;
  return [edge, blank, ...rows.flatMap((row) => [`   |    ${row.padEnd(width - 4)}|`, blank]), edge];
}

/** The lines that open the console. */
export function banner(machine: Machine, addresses: readonly string[]): string {
  const serial = machine.serial === '' ? 'no serial number' : `serial ${machine.serial}`;
  const where = addresses.length === 0 ? 'no address yet' : addresses.join(', ');
  return [
    '',
    `Bootwave ${machine.version}: ${machine.product || 'unknown machine'}, ${serial}`,
    `Address: ${where}`,
    '',
  ].join('\n');
}

/**
 * What the console says about a view. Lines that start with `bootwave: ` are for programs and never change form:
 * `bootwave: state <phase>` and `bootwave: words <w1> <w2> <w3> <w4>`.
 */
export function screen(view: View, addresses: readonly string[]): string {
  const lines = ['', `   ${SENTENCE[view.phase]}`];
  if (view.phase === 'pending' && view.words !== null) {
    lines.push(...box(view.words), '   If they are the same, approve this machine there. If not, do not.');
  }
  if (view.name !== null) lines.push(`   Name: ${view.name}`);
  if (addresses.length > 0) lines.push(`   Address: ${addresses.join(', ')}`);
  if (view.notice !== null) lines.push(`   ${view.notice}`);
  if (view.phase === 'pending' && view.words !== null) lines.push(`bootwave: words ${view.words.join(' ')}`);
  return [...lines, `bootwave: state ${view.phase}`, ''].join('\n');
}
