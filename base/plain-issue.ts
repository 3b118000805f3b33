import type { z } from 'zod';

const KINDS: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'an object',
  record: 'an object',
  array: 'a list',
};

/**
 * A schema's own message ("Invalid input: expected string, received number") in words for people, to follow the field's name.
 * @param page lists the fields that there are
 */
export function plainIssue(issue: z.core.$ZodIssue, page: string): string {
  switch (issue.code) {
    case 'unrecognized_keys': {
      const names = issue.keys.map((key) => `'${key}'`).join(', ');
      return `has no field ${names} (${page} lists what there is)`;
    }
    case 'invalid_type':
      return issue.input === undefined && issue.message.endsWith('received undefined')
        ? `is missing: ${KINDS[issue.expected] ?? issue.expected}`
        : `must be ${KINDS[issue.expected] ?? issue.expected}`;
    case 'invalid_value':
      return `must be ${issue.values.map((value) => JSON.stringify(value)).join(' or ')}`;
    case 'invalid_union':
      return issue.message.startsWith('Invalid') ? 'is of no kind that there is' : issue.message;
    case 'too_small':
    case 'too_big': {
      if (!issue.message.startsWith('Too')) return issue.message;
      const bound = issue.code === 'too_small' ? `at least ${issue.minimum}` : `at most ${issue.maximum}`;
      const what = { string: ' characters', array: ' entries' }[issue.origin as string] ?? '';
      return `must be ${issue.origin === 'array' || issue.origin === 'string' ? 'of ' : ''}${bound}${what}`;
    }
    case 'invalid_key':
      return 'has a name that is not allowed';
    default:
      return issue.message.startsWith('Invalid') ? 'is not valid' : issue.message;
  }
}
