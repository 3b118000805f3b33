import type { RequestedImage } from '../../../../protocol/agent/disk.ts';
import type { Order } from '../../../../protocol/order.ts';

/** Throws unless the fleet has released exactly this image, for machines like this one. */
export type MustBeReleased = (image: RequestedImage, order: Order, signal: AbortSignal) => Promise<void>;

/** Milliseconds. An image that was just staged is started without asking again. */
const KNOWN_FOR = 10 * 60_000;
/** Milliseconds that an activation may take to find out otherwise: the orchestrator waits for the answer. */
const WITHIN = 10_000;

/** The check before an image is fetched, written or started. */
export class ReleaseGate {
  readonly #mustBeReleased: MustBeReleased;
  /** The image last found to be released, and when (monotonic). */
  #known: { sha256: string; at: number } | null = null;

  constructor(mustBeReleased: MustBeReleased) {
    this.#mustBeReleased = mustBeReleased;
  }

  /** Before it is fetched: always asks. */
  async pass(image: RequestedImage, order: Order, signal: AbortSignal): Promise<void> {
    this.#known = null;
    await this.#mustBeReleased(image, order, signal);
    this.#known = { sha256: image.sha256, at: performance.now() };
  }

  /** Before it is started: what is on the disk was released once, and may have been withdrawn since. */
  async passAgain(image: RequestedImage, order: Order): Promise<void> {
    const known = this.#known;
    if (known?.sha256 === image.sha256 && performance.now() - known.at < KNOWN_FOR) return;
    await this.pass(image, order, AbortSignal.timeout(WITHIN));
  }
}
