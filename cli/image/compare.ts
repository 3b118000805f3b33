import type { Command } from 'commander';
import { BootwaveError } from '../../base/error.ts';
import { readTracker } from '../../formats/debian-tracker.ts';
import * as image from '../../orchestrator/operations/image/declared.ts';
import type { Cves, ImageDiff } from '../../orchestrator/releases/image-diff.ts';
import { type Vulnerability, vulnerabilityText } from '../../orchestrator/releases/vulnerabilities.ts';
import { print, table } from '../context.ts';
import { call } from '../operate.ts';
import { commandFor, type Json, minuteOf, textOf } from '../option.ts';

/** What images are built from. */
const RELEASE = 'bookworm';
/** Vulnerabilities of a kind that are named; a kernel has thousands. */
const NAMED = 20;

export function register(group: Command): void {
  commandFor(group, image.diff, '<from> <to>').action(
    async (from: string, to: string, { json }: Json, command: Command) => {
      const diff = await call(command, image.diff, { from, to });
      print(json, diff, () => diffText(diff));
    },
  );

  commandFor(group, image.advisories, '<file>').action(
    async (file: string, { json }: Json, command: Command) => {
      const text = await textOf(file, {
        code: 'TRACKER_FILE',
        what: "the security tracker's file cannot be read",
        unchanged: 'what was imported before is kept',
      });
      const manifests = await call(command, image.list, {});
      const names = new Set(manifests.flatMap(({ sources = [] }) => sources.map(({ name }) => name)));
      if (names.size === 0)
        throw new BootwaveError({
          code: 'ADVISORIES_NO_IMAGE',
          what: 'no published image says from which source packages it was built',
          unchanged: 'what was imported before is kept',
          next: 'build one with this Bootwave, then import again: bootwave image build --version X',
        });
      const done = await call(command, image.advisories, { packages: readTracker(text, names, RELEASE) });
      print(json, done, () => {
        const open = done.open === null ? '' : `; the newest image has ${done.open} of them`;
        return `${done.cves} CVEs of ${done.packages} packages are known${open}`;
      });
    },
  );
}

function diffText({ from, to, packages, firmwareMissing, cves, cvesUnknown }: ImageDiff): string {
  const size = (to.size - from.size) / 1e6;
  const [old, young] = [from, to].map(
    ({ kernel, linux }) => `${kernel}${linux === null ? '' : ` (${linux})`}`,
  );
  const isKnown = from.kernel !== to.kernel || (from.linux !== null && to.linux !== null);
  const kernel = old === young && isKnown ? `${young}, as before` : `${old} -> ${young}`;
  const { more, less } = firmwareMissing;
  return [
    `${from.version} -> ${to.version}: ${size < 0 ? '' : '+'}${size.toFixed(1)} MB, kernel ${kernel}`,
    ...(more.length === 0 ? [] : [`drivers that now ask for firmware they do not get: ${more.join(' ')}`]),
    ...(less.length === 0 ? [] : [`drivers that no longer do: ${less.join(' ')}`]),
    '',
    packages.length === 0
      ? 'the same Debian packages'
      : table(
          ['PACKAGE', from.version, to.version],
          packages.map((one) => [one.name, one.from ?? '-', one.to ?? '-']),
        ),
    '',
    ...(cves === null ? [`vulnerabilities: not known, ${cvesUnknown}`] : cvesText(cves)),
  ].join('\n');
}

function cvesText({ asOf, fixed, come, left, unknown }: Cves): string[] {
  const named = (title: string, all: readonly Vulnerability[]) => [
    `${title}: ${all.length}`,
    ...all.slice(0, NAMED).map((one) => `  ${vulnerabilityText(one)}`),
    ...(all.length > NAMED ? [`  and ${all.length - NAMED} more (--json names all)`] : []),
  ];
  return [
    `vulnerabilities as Debian knew them when they were imported (${minuteOf(asOf)} UTC)`,
    ...named('fixed', fixed),
    ...named('new', come),
    `in both: ${left.length}, of which ${left.filter((one) => one.fixed !== null).length} are fixed in Debian`,
    ...(unknown.length === 0 ? [] : [`nothing was imported of ${unknown.join(', ')}: import again`]),
  ];
}
