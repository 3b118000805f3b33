import { NO_IMAGE_RULES } from '../../../orchestrator/fleet/image-rules.ts';

/** A fleet in which nobody has decided anything about images, and none was ever released. */
export const anyImage = { imageRules: async () => NO_IMAGE_RULES, released: async () => null };
