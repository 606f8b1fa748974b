/** A number with its noun: `1 task`, `2 tasks`. The plural is that of the noun with an `s`, unless it is given. */
export const counted = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`
