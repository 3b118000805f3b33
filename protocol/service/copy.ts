/** The program that a node adds to the instances of slices: it carries one file out of them, or into them. */

/** Where it is in an instance: in a folder that no manifest may mount anything over. */
export const COPY_PROGRAM = '/dev/bootwave-copy';

/** How it ends where it did not do it (copy.c). Nothing was changed then. */
export const COPY_EXITS = {
  /** There is no such file or folder. */
  ABSENT: 3,
  /** The service may not read it, or write there. */
  DENIED: 4,
  /** It is no regular file. */
  KIND: 5,
  /** There is no room. */
  FULL: 6,
  /** What came is not what was said. */
  CHANGED: 7,
} as const;
