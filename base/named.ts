/** Names in one message. */
const NAMED = 5;

/** The first few, and how many there are beyond them. */
export function named(all: readonly string[]): string {
  const more = all.length > NAMED ? `, and ${all.length - NAMED} more` : '';
  return `${all.slice(0, NAMED).join(', ')}${more}`;
}
