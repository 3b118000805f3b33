import { refusal } from '../../base/error.ts';
import { plainIssue } from '../../base/plain-issue.ts';
import type { Operation } from './operation.ts';

/** The parsed input, or which field breaks which rule. @throws BootwaveError `INPUT_INVALID` */
export function parse<I>(operation: Operation<I, unknown>, input: unknown): I {
  const parsed = operation.input.safeParse(input);
  if (parsed.success) return parsed.data;
  const help = `'bootwave ${operation.name} --help'`;
  const rules = parsed.error.issues.slice(0, 10).map((issue) => {
    const field = issue.path.join('.');
    return `${field === '' ? 'the input' : field}: ${plainIssue(issue, help)}`;
  });
  throw refusal(
    'INPUT_INVALID',
    `'${operation.name}' cannot be asked like that: ${rules.join('; ')}`,
    `${help} says what it takes`,
  );
}
