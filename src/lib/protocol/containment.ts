/** What keeps the processes of a run together. */
export const containments = ['cgroup', 'namespace', 'none'] as const
export type Containment = (typeof containments)[number]

/** What that means, for people. */
export const containmentTexts: Record<Containment, string> = {
  cgroup: 'each run has a control group, so no process of it is left',
  namespace: 'each run has a pid namespace, so no process of it is left',
  none: 'processes of a run are found by what they inherit; one that sheds all of that is left',
}
