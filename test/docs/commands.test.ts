/** What the pages say exists: commands, options, make targets, links, headings, coded errors, the service unit. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test from 'ava';
import type { Command } from 'commander';
import { run } from '../../base/run.ts';
import { program } from '../../cli/program.ts';
import { refusal } from './accepted.ts';
import { allPages, commandsOf, type Page, REPOSITORY, words } from './pages.ts';
import { sourceText } from './source.ts';

const pages = await allPages();
const whole = await program();

/** Programs of Debian that the pages use; anything else in a sh block is a mistake or belongs here. */
const FOREIGN = [
  'cd',
  'ln',
  'ip',
  'tar',
  'git',
  'systemctl',
  'journalctl',
  'curl',
  'set',
  'export',
  '.',
  'age-keygen',
  'mv',
];
/** Long options in running text that are not Bootwave's. */
const FOREIGN_OPTIONS = ['--rack', '--tap', '--unit', '--decrypt', '--failed'];
/** What every command has, and commander keeps apart from its other options. */
const OF_EVERY_COMMAND = '--help';

/** Commands that no test runs: of blocks without a language, and of indented lines. */
function shownIn(page: Page): string[] {
  const blocks = page.blocks.filter(({ language }) => language === '').map(({ text }) => text);
  return [
    ...blocks.join('\n').matchAll(/^bootwave .*$/gm),
    ...page.text.matchAll(/^ {4}(?=bootwave )(.*)$/gm),
  ].map(([whole, line = whole]) => line.replace(/\s#.*$/, ''));
}

function commandAt(path: readonly string[]): { command: Command; rest: readonly string[] } {
  let command = whole;
  let rest = path;
  for (;;) {
    const next = command.commands.find((candidate) => candidate.name() === rest[0]);
    if (next === undefined) return { command, rest };
    command = next;
    rest = rest.slice(1);
  }
}

function optionsOf(command: Command): string[] {
  const own = command.options.flatMap((option) => option.long ?? []);
  return command.parent === null ? [...own, OF_EVERY_COMMAND] : [...own, ...optionsOf(command.parent)];
}

function allOptions(command: Command): string[] {
  return [...command.options.flatMap((option) => option.long ?? []), ...command.commands.flatMap(allOptions)];
}

const makefile = await readFile(join(REPOSITORY, 'Makefile'), 'utf8');
const targets = new Set([...makefile.matchAll(/^([a-z-]+):/gm)].map(([, name]) => name));

for (const page of pages) {
  test(`${page.path}: every command in its blocks exists, with these options and arguments`, async (t) => {
    t.true(commandsOf(page).length > 0 || page.blocks.every(({ language }) => language !== 'sh'));
    for (const line of [...commandsOf(page), ...shownIn(page)]) {
      const [name = '', ...rest] = words(line);
      if (name === 'bootwave' || name === 'bin/bootwave') t.is(await refusal(rest), undefined, line);
      else if (name === 'make') t.true(targets.has(rest[0]!), line);
      else t.true(FOREIGN.includes(name), `unknown program in a block: ${line}`);
    }
    for (const { language, text } of page.blocks) {
      if (language !== 'sh') continue;
      const checked = await run('bash', ['-n'], { input: text });
      t.is(checked.code, 0, `${checked.stderr}${text}`);
    }
  });

  test(`${page.path}: every command and option in its text exists`, (t) => {
    t.deepEqual(page.inline.flatMap(strange), []);
  });

  test(`${page.path}: every link points to a page and a heading that exist`, async (t) => {
    const prose = page.text.replace(/^```[\s\S]*?^```$/gm, '');
    const broken: string[] = [];
    for (const [, target = ''] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [file = '', heading] = target.split('#');
      const path = join(REPOSITORY, file === '' ? page.path : join(dirname(page.path), file));
      const text = await readFile(path, 'utf8').catch(() => undefined);
      if (text === undefined || (heading !== undefined && !anchors(text).includes(heading)))
        broken.push(target);
    }
    t.deepEqual(broken, []);
  });
}

test('the judges of these tests refuse what does not exist', async (t) => {
  t.is(await refusal(['node', 'list', '--state', 'pending']), undefined);
  for (const line of [
    ['node', 'list', '--nowhere', 'x'],
    ['node', 'list', '--state', 'sleepy'],
    ['node', 'show'],
    ['site', 'add', 'x', '--accept-unknown', 'maybe'],
    ['up', 'eth0'],
    ['fly'],
  ]) {
    t.not(await refusal(line), undefined, line.join(' '));
  }
  for (const code of [
    'bootwave fly',
    'bootwave node fly',
    'bootwave node show --wings',
    'make fly',
    '--wings',
  ]) {
    t.is(strange(code).length, 1, code);
  }
  t.deepEqual(strange('bootwave node'), []);
  t.deepEqual(strange('bootwave node approve NAME'), []);
});

/** What of a piece of code in running text does not exist. It may leave arguments out. */
function strange(code: string): string[] {
  const [name, ...rest] = words(code);
  const options = code.match(/(?<=^|\s)--[a-z][a-z0-9-]*/g) ?? [];
  if (name === 'make' && rest.length > 0 && !targets.has(rest[0]!)) return [code];
  if (name !== 'bootwave') {
    const known = [...allOptions(whole), OF_EVERY_COMMAND, ...FOREIGN_OPTIONS];
    return options.filter((option) => !known.includes(option)).map((option) => `${option} in ${code}`);
  }
  const { command, rest: after } = commandAt(rest);
  if (command.commands.length > 0 && after[0] !== undefined && !after[0].startsWith('-')) return [code];
  return options
    .filter((option) => !optionsOf(command).includes(option))
    .map((option) => `${option} in ${code}`);
}

/** As GitHub makes them: lower case, punctuation gone, spaces to dashes. */
function anchors(text: string): string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replace(/[^\w\s-]/g, '')
      .replaceAll(' ', '-'),
  );
}

test('every coded error that a page names exists in the sources', async (t) => {
  const sources = await sourceText();
  const named = pages.flatMap((page) =>
    page.inline
      .filter((code) => /^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$/.test(code))
      .map((code) => [page.path, code] as const),
  );
  const codes = named.filter(([, code]) => !code.startsWith('BOOTWAVE_'));
  t.true(codes.length > 40);
  for (const [path, code] of codes) t.true(sources.includes(`'${code}'`), `${code} in ${path}`);
  for (const [path, variable] of named.filter(([, code]) => code.startsWith('BOOTWAVE_'))) {
    t.true(sources.includes(`.${variable}`), `${variable} in ${path}`);
  }
});

test('every boot step, state and answer of the console in the troubleshooting page is one of the sources', async (t) => {
  const sources = await sourceText();
  const page = pages.find(({ path }) => path === 'docs/troubleshooting.md')!;
  const sentences = page.inline.filter((code) => /^[A-Z][a-z].*\.$/.test(code) && !code.endsWith('...'));
  t.true(sentences.length >= 2);
  for (const sentence of sentences) t.true(sources.includes(sentence.replace(/\.$/, '')), sentence);
  for (const step of [
    'loader-sent',
    'script-sent',
    'image-started',
    'image-sent',
    'dhcp-offered',
    'refused',
  ]) {
    t.true(page.inline.includes(step), step);
    t.true(sources.includes(`'${step}'`), step);
  }
});

test('the service unit is one that systemd accepts, and its command one that exists', async (t) => {
  const page = pages.find(({ path }) => path === 'docs/install.md')!;
  const unit = page.blocks.find(
    ({ language, text }) => language === 'ini' && text.includes('[Service]'),
  )!.text;
  const [, command = ''] = /^ExecStart=(.*)$/m.exec(unit) ?? [];
  const [path, ...rest] = words(command);
  t.true(
    commandsOf(page).some((line) => line.startsWith('ln ') && line.endsWith(` ${path}`)),
    'the page makes the file that the unit starts',
  );
  t.is(await refusal(rest), undefined, command);

  const folder = await mkdtemp(join(tmpdir(), 'bw-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, 'bootwave.service');
  // As installed: the path is a link to the program of this checkout.
  await writeFile(file, unit.replaceAll(path!, join(REPOSITORY, 'bin/bootwave')));
  const verified = await run('systemd-analyze', ['verify', '--man=no', file]).catch(() => undefined);
  if (verified === undefined) return t.log('systemd-analyze is not installed here');
  t.deepEqual({ code: verified.code, words: verified.stderr }, { code: 0, words: '' });
});
