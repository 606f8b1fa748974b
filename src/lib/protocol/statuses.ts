/** The states of a task. The existing server defines `assigned` but never sets it. */
export const taskStatuses = ['pending', 'assigned', 'running', 'completed', 'failed', 'cancelled'] as const
export type TaskStatus = (typeof taskStatuses)[number]
export const finalStatuses = ['completed', 'failed', 'cancelled'] as const
export type FinalStatus = (typeof finalStatuses)[number]
export const isFinal = (status: string): status is FinalStatus => (finalStatuses as readonly string[]).includes(status)
