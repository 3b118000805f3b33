/**
 * A question whose answer stays good for a while: root's helper is a program that starts anew for each, which costs more
 * than all else that an idle node does.
 * @param life milliseconds from a good answer on; one that failed is asked again
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
