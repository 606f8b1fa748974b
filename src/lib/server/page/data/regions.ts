/** HTML by the id of the element that it belongs into. */
export type Regions = Record<string, string>
