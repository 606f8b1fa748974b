/** The provider of the model that the worker itself serves to warm agents (`executor/warm/stand-in-model.ts`). */
export const standInProvider = 'a2a-worker'
/** The title of the session in which an agent is warmed up. It is no session of the user. */
export const warmUpTitle = 'a2a-worker warm-up'
