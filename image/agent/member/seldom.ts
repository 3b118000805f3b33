/**
 * Remembers an answer for a while: root's helper is a program that starts for each question, which costs more than
 * everything else that an idle node does.
 * @param life milliseconds that a good answer is used; a failed one is asked again
 */
export function seldom<T>(
  life: number,
  ask: () => Promise<T>,
  now = () => performance.now(),
): () => Promise<T> {
  let last: { answer: T; until: number } | null = null;
  return async () => {
    if (last !== null && now() < last.until) return last.answer;
    const answer = await ask();
    last = { answer, until: now() + life };
    return answer;
  };
}
