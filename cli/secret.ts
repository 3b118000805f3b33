/** A password: from a file, from a pipe, or typed without being shown. Never from the command line, where every user reads it. */
import { refusal } from '../base/error.ts';
import { onTerminal } from './context.ts';
import { textOf } from './option.ts';

/** Characters. */
const LONGEST = 4096;

/** The first line. @throws BootwaveError `SECRET_MISSING` */
export async function secretOf(file: string | undefined, question: string): Promise<string> {
  const text =
    file !== undefined
      ? await textOf(file, {
          code: 'SECRET_MISSING',
          what: 'the file cannot be read',
          unchanged: 'nothing was changed',
        })
      : process.stdin.isTTY
        ? await typed(question)
        : await piped();
  const [line = ''] = text.split(/\r?\n/);
  if (line !== '') return line;
  throw refusal(
    'SECRET_MISSING',
    'no password is given',
    'give it on standard input, or name a file with it',
  );
}

async function piped(): Promise<string> {
  let text = '';
  for await (const piece of process.stdin.setEncoding('utf8')) {
    text += piece as string;
    if (text.length > LONGEST) break;
  }
  return text;
}

function typed(question: string): Promise<string> {
  const { stdin, stderr } = process;
  stderr.write(`${onTerminal(question)}: `);
  stdin.setRawMode(true).setEncoding('utf8').resume();
  return new Promise((resolve) => {
    let text = '';
    const end = (line: string) => {
      stdin.off('data', hear).setRawMode(false).pause();
      stderr.write('\n');
      resolve(line);
    };
    const hear = (keys: string) => {
      for (const key of keys) {
        if (key === '\r' || key === '\n' || key === '\u0004') return end(text);
        if (key === '\u0003') return end('');
        text = key === '\u007f' || key === '\b' ? text.slice(0, -1) : text + key;
      }
    };
    stdin.on('data', hear);
  });
}
