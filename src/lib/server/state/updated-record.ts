/** A record after an update: with these fields, and with `by` added to others. The former one stays as it is. */
export function updatedRecord<R extends object>(
  former: Readonly<R>,
  fields: Partial<R>,
  by: Partial<Record<keyof R, number>>,
): R {
  const record = {...former, ...fields} as R
  for (const [field, more] of Object.entries(by) as [keyof R, number][])
    record[field] = ((Number(former[field]) || 0) + more) as R[keyof R]
  return record
}
