/** A number of nodes (`5`) or a share of them (`"10%"`). */
export type Amount = { count: number } | { percent: number };

/** A share of nodes, exact: 17.6 % of 375 are 66; binary fractions would give a little more. */
function shareOf(percent: number, size: number): number {
  // Percents have three decimals at most.
  return (Math.round(percent * 1000) * size) / 100_000;
}

/** Nodes to take for a wave: a share is rounded up, because an empty wave proves nothing. */
export function takeOf(amount: Amount, size: number): number {
  if ('count' in amount) return Math.min(amount.count, size);
  return Math.min(size, Math.ceil(shareOf(amount.percent, size)));
}

/** Nodes that may be down at once: a share is rounded down, but never to 0, which would never end. */
export function limitOf(amount: Amount, size: number): number {
  if ('count' in amount) return amount.count;
  return Math.max(1, Math.floor(shareOf(amount.percent, size)));
}

/** Failures that are still tolerated: a share is rounded down, so 10 % of five nodes tolerates none. */
export function budgetOf(amount: Amount, size: number): number {
  if ('count' in amount) return amount.count;
  return Math.floor(shareOf(amount.percent, size));
}
