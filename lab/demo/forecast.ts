/** What will be seen, about when, and how much is left. Pure. */

export const ACTS = ['boot', 'rollout', 'service'] as const;
export type Act = (typeof ACTS)[number];
export type Phase = {
  name: string;
  act: Act;
  /** Seconds on two quiet cores, emulated. */
  seconds: number;
  text: string;
  /** It takes minutes or seconds, by what was made before, and says nothing of how fast this machine is. */
  varies?: true;
};

/** As measured (docs/performance.md, "Boots"). */
export const PHASES: readonly Phase[] = [
  { name: 'image', act: 'boot', seconds: 85, text: `the fleet's keys, and the signed image`, varies: true },
  {
    name: 'boot',
    act: 'boot',
    seconds: 190,
    text: 'three machines boot from the network, and are approved by four words',
  },
  { name: 'disk', act: 'rollout', seconds: 170, text: 'two of them get the image onto their disks' },
  { name: 'good', act: 'rollout', seconds: 220, text: 'a good image: the canary, then the other one' },
  { name: 'bad', act: 'rollout', seconds: 170, text: 'a bad image: three panics, and back by itself' },
  {
    name: 'services',
    act: 'service',
    seconds: 150,
    text: 'three services, built and rolled out: the canary, then the others',
    varies: true,
  },
  { name: 'ill', act: 'service', seconds: 40, text: 'an ill version of one, and back by itself' },
];

const minutes = (seconds: number): string =>
  `${Math.floor(seconds / 60)}:${String(Math.round(seconds % 60)).padStart(2, '0')}`;

/** @param emulated whether the figures are those of this machine */
export function programme(phases: readonly Phase[], emulated: boolean): string {
  let at = 0;
  const lines = phases.map(({ seconds, text }) => {
    const line = `  ${minutes(at).padStart(5)}  ${text}`;
    at += seconds;
    return line;
  });
  const where = emulated
    ? 'on two quiet cores without KVM; a busy machine takes longer'
    : 'without KVM; this machine has it and is faster';
  return [
    `What you will see, and about when (${where}):`,
    ...lines,
    `  ${minutes(at).padStart(5)}  the end`,
  ].join('\n');
}

/** How long the rest takes, from what has been and how it compared with what was expected. */
export class Forecast {
  readonly #phases: readonly Phase[];
  #now = 0;
  /** Milliseconds, when the phase that goes on began. */
  #since: number;
  /** Seconds that phases are over which tell the pace: as they were expected, and as they were. */
  #over = { expected: 0, taken: 0 };

  /** @param begun milliseconds, of any clock that does not go back */
  constructor(phases: readonly Phase[], begun: number) {
    this.#phases = phases;
    this.#since = begun;
  }

  /** Another phase begins; those before it are over. */
  enter(name: string, at: number): void {
    const index = this.#phases.findIndex((phase) => phase.name === name);
    if (index <= this.#now) return;
    const over = this.#phases.slice(this.#now, index);
    if (over.every(({ varies }) => varies !== true)) {
      this.#over.expected += sum(over);
      this.#over.taken += (at - this.#since) / 1000;
    }
    this.#now = index;
    this.#since = at;
  }

  /** Seconds. */
  left(at: number): number {
    // A machine that took twice as long for what is over will for the rest.
    const pace = this.#over.expected < 60 ? 1 : Math.max(0.25, this.#over.taken / this.#over.expected);
    const spent = (at - this.#since) / 1000;
    const here = Math.max(0, (this.#phases[this.#now]?.seconds ?? 0) * pace - spent);
    return here + sum(this.#phases.slice(this.#now + 1)) * pace;
  }
}

const sum = (phases: readonly Phase[]) => phases.reduce((total, { seconds }) => total + seconds, 0);

/** For the end of a line of progress. */
export function inWords(seconds: number): string {
  const rounded = Math.ceil(seconds / 60);
  return rounded <= 1 ? 'about a minute left' : `about ${rounded} minutes left`;
}
