type Optional<T> = { [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined> };
type Required<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] };

/** Without the fields that are undefined: an optional field has a value or is absent (`exactOptionalPropertyTypes`). */
export function defined<T extends object>(fields: T): Optional<T> & Required<T> {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined),
  ) as Optional<T> & Required<T>;
}
