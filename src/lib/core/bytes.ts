const mib = 1024 ** 2
const gib = 1024 ** 3

/** So many bytes in words: whole MiB, from 10 GiB on whole GiB. Rounded down, as what is free is not to be promised. */
export const bytes = (count: number) =>
  count < 10 * gib ? `${Math.floor(count / mib)} MiB` : `${Math.floor(count / gib)} GiB`
