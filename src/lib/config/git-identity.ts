/** The parts of `NAME <EMAIL>`. Undefined if the text has another form. */
export function parseIdentity(text: string): {name: string; email: string} | undefined {
  const [, name, email] = /^([^<>\n]*[^<>\s]) *<([^<>\s]+)>$/.exec(text) ?? []
  return name !== undefined && email !== undefined ? {name, email} : undefined
}

/** The variables by which git takes this author. */
export function identityVariables(text: string | undefined): Record<string, string> {
  const identity = text === undefined ? undefined : parseIdentity(text)
  if (!identity) return {}
  const {name, email} = identity
  return {GIT_AUTHOR_NAME: name, GIT_AUTHOR_EMAIL: email, GIT_COMMITTER_NAME: name, GIT_COMMITTER_EMAIL: email}
}
