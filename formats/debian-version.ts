/**
 * The order of Debian package versions, deb-version(7), "Sorting algorithm". Pure. Not the order of image versions
 * (version.ts): here letters sort before other signs, and an epoch comes first.
 * @returns below 0 when `a` is older than `b`, above 0 when newer, 0 when dpkg takes them for the same
 */
export function compareDebianVersions(a: string, b: string): number {
  const [x, y] = [partsOf(a), partsOf(b)];
  return x.epoch - y.epoch || compareParts(x.upstream, y.upstream) || compareParts(x.revision, y.revision);
}

/** An epoch that is not there is 0; so is a revision, for `compareParts` takes nothing and 0 for the same. */
function partsOf(version: string): { epoch: number; upstream: string; revision: string } {
  const colon = version.indexOf(':');
  const rest = version.slice(colon + 1);
  const dash = rest.lastIndexOf('-');
  const end = dash === -1 ? rest.length : dash;
  return {
    epoch: colon === -1 ? 0 : Number(version.slice(0, colon)),
    upstream: rest.slice(0, end),
    revision: rest.slice(end + 1),
  };
}

/** By turns a part without digits, sign by sign, and a part of digits, as a number of any length. */
function compareParts(a: string, b: string): number {
  const [left, right] = [a.match(TURNS) ?? [], b.match(TURNS) ?? []];
  for (let i = 0; i < Math.max(left.length, right.length); i += 1) {
    const [, text = '', digits = ''] = TURN.exec(left[i] ?? '') ?? [];
    const [, others = '', number = ''] = TURN.exec(right[i] ?? '') ?? [];
    const order = compareText(text, others) || compareNumbers(digits, number);
    if (order !== 0) return order;
  }
  return 0;
}

const TURNS = /[^0-9]+[0-9]*|[0-9]+/g;
const TURN = /^([^0-9]*)([0-9]*)$/;

function compareText(a: string, b: string): number {
  for (let i = 0; i < Math.max(a.length, b.length); i += 1) {
    const order = rank(a[i]) - rank(b[i]);
    if (order !== 0) return order;
  }
  return 0;
}

/** `~` before the end of the text, the end before letters, letters before other signs. */
function rank(sign: string | undefined): number {
  if (sign === undefined) return 0;
  if (sign === '~') return -1;
  return /[A-Za-z]/.test(sign) ? sign.charCodeAt(0) : sign.charCodeAt(0) + 256;
}

function compareNumbers(a: string, b: string): number {
  const [x, y] = [a.replace(/^0+/, ''), b.replace(/^0+/, '')];
  return x.length - y.length || (x === y ? 0 : x < y ? -1 : 1);
}
