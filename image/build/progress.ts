/** What a build does, in order, with its usual share of the time of a cold build. */
const STEPS = [
  ['packages', 'asking the Debian archive which packages are current', 0.06],
  ['root', 'installing the Debian packages', 0.24],
  ['kernel', 'choosing and packing the kernel modules', 0.25],
  ['node', 'packing Node', 0.2],
  ['agent', 'bundling the agent', 0.02],
  ['system', 'trimming and packing the root', 0.18],
  ['uki', 'joining and signing the image', 0.04],
  ['publish', 'publishing', 0.01],
] as const;

export type BuildStep = (typeof STEPS)[number][0];
export type BuildProgress = {
  step: BuildStep;
  /** In plain words, for people. */
  text: string;
  /** Progress of the whole build, 0 to 1, never falling. */
  fraction: number;
};

/** @returns called as a step begins (`part` 0) and while it goes on (`part` up to 1) */
export function progressOf(
  onProgress: ((progress: BuildProgress) => void) | undefined,
): (step: BuildStep, part?: number) => void {
  let highest = 0;
  return (step, part = 0) => {
    let before = 0;
    for (const [name, text, share] of STEPS) {
      if (name === step) {
        highest = Math.max(highest, Math.min(1, before + share * Math.min(1, part)));
        onProgress?.({ step, text, fraction: highest });
        return;
      }
      before += share;
    }
  };
}
