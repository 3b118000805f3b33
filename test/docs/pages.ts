import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

export const REPOSITORY = join(import.meta.dirname, '../..');

export type Page = {
  /** From the root of the repository. */
  path: string;
  text: string;
  /** Fenced blocks with their language. */
  blocks: readonly { language: string; text: string }[];
  /** What stands between backticks outside of blocks. */
  inline: readonly string[];
};

/** README.md and docs/*.md. */
export async function allPages(): Promise<Page[]> {
  const names = (await readdir(join(REPOSITORY, 'docs'))).filter((name) => name.endsWith('.md'));
  return Promise.all(['README.md', ...names.map((name) => `docs/${name}`)].map(pageAt));
}

export async function pageAt(path: string): Promise<Page> {
  const text = await readFile(join(REPOSITORY, path), 'utf8');
  const fence = /^```(\w*)\n([\s\S]*?)^```$/gm;
  const blocks = [...text.matchAll(fence)].map(([, language = '', body = '']) => ({ language, text: body }));
  const inline = [...text.replace(fence, '').matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code);
  return { path, text, blocks, inline };
}

/** The commands of a page's sh blocks, comments taken off, in their order. */
export function commandsOf(page: Page): string[] {
  return page.blocks
    .filter(({ language }) => language === 'sh')
    .flatMap(({ text }) => text.split('\n'))
    .map((line) => line.replace(/(^|\s)#.*$/, '').trim())
    .filter((line) => line !== '');
}

/** Words as a shell splits them: quotes only, which is all that the pages use. */
export function words(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(
    ([, double, single, bare]) => double ?? single ?? bare ?? '',
  );
}
