/** The table of docs/operators.md, made from the declarations. Run by itself, it writes the page. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Role } from '../../keys/operator-roles.ts';
import { CATALOGUE } from '../../orchestrator/operations/catalogue.ts';
import type { Operation } from '../../orchestrator/operations/operation.ts';

const PAGE = join(import.meta.dirname, '../../docs/operators.md');
const BEGIN = '<!-- made by test/docs/operators-table.ts from the declarations -->';

export const lines = [
  BEGIN,
  '| operation | admin | core | site admin | slice owner | viewer | |',
  '|---|---|---|---|---|---|---|',
  ...CATALOGUE.map(row),
];

function row(operation: Operation): string {
  const { name, who, site, slice } = operation;
  const cell = (role: Exclude<Role, 'admin'>) => {
    if (who === 'anyone') return 'anyone';
    if (!who.includes(role)) return '';
    if (role === 'slice-owner') return slice === undefined && name !== 'slice list' ? 'yes' : 'their slices';
    return role === 'site-admin' && site !== undefined ? 'their sites' : 'yes';
  };
  const admin = who === 'anyone' ? 'anyone' : 'yes';
  const roles = (['core', 'site-admin', 'slice-owner', 'viewer'] as const).map(cell);
  const cells = [`\`${name}\``, admin, ...roles, notes(operation)];
  return `|${cells.map((text) => (text === '' ? ' ' : ` ${text} `)).join('|')}|`;
}

function notes({ fourEyes, breakGlass, offline, hostOnly }: Operation): string {
  const said = (flag: unknown, text: string, sometimes: string) =>
    flag === undefined || flag === false ? [] : [flag === true ? text : sometimes];
  return [
    ...said(fourEyes, 'two people', 'two people, for some'),
    ...(breakGlass === true ? ['by break-glass'] : []),
    ...(offline === undefined ? [] : ['without a server']),
    ...said(hostOnly, 'on the server only', 'on the server only, with `--keys`'),
  ].join('; ');
}

if (import.meta.main) {
  const text = await readFile(PAGE, 'utf8');
  const at = text.indexOf(BEGIN);
  await writeFile(PAGE, `${text.slice(0, at < 0 ? text.length : at)}${lines.join('\n')}\n`);
}
