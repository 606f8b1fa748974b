import {basename} from 'node:path'
import checkbox from '@inquirer/checkbox'
import confirm from '@inquirer/confirm'
import input from '@inquirer/input'
import password from '@inquirer/password'
import select from '@inquirer/select'

/** What a set-up is about. Undefined `server`: the worker brings its own control plane. */
export type Setup = {
  server: string | undefined
  token: string | undefined
  codebases: readonly string[]
  permissions: Permissions
  isService: boolean
}

/** `usual`: the default of a2a-worker, which is no setting. */
export const permissionChoices = ['usual', 'ask', 'allow'] as const
export type Permissions = (typeof permissionChoices)[number]

/** What was given by flags or is configured already. Undefined: it is asked. */
export type Given = Partial<Setup> & {isLocal?: boolean}

export type QuestionOptions = {
  given: Given
  /** Offered as codebases, nearest first. */
  nearby: readonly string[]
  /** Whether a service can be installed here. */
  canServe: boolean
  /** Why this address, or this token, cannot be used. Undefined: it can. */
  checkServer: (url: string) => Promise<string | undefined>
  checkToken: (url: string, token: string) => Promise<string | undefined>
  /** Why a directory cannot be a codebase. Undefined: it can. */
  checkCodebase: (path: string) => string | undefined
}

type Context = {output: NodeJS.WritableStream; signal: AbortSignal}

/** Asks for all that is not given. Nothing is written yet. Rejects when the user leaves. */
export async function askSetup(options: QuestionOptions, context: Context): Promise<Setup> {
  const server = await askServer(options, context)
  const token = server === undefined ? undefined : await askToken(server, options, context)
  const codebases = await askCodebases(options, context)
  return {
    ...{server, token, codebases},
    permissions: options.given.permissions ?? (await askPermissions(context)),
    isService: await askService(server, options, context),
  }
}

async function askServer({given, checkServer}: QuestionOptions, context: Context): Promise<string | undefined> {
  if (given.server !== undefined) return given.server
  if (given.isLocal) return undefined
  const place = await select(
    {
      message: 'Where do tasks come from?',
      choices: [
        {name: 'This machine: the worker brings its own control plane', value: 'local'},
        {name: 'A control plane that runs already', value: 'server'},
      ],
    },
    context,
  )
  if (place === 'local') return undefined
  const url = await input(
    {message: 'Its address:', validate: async (text) => (await checkServer(text.trim())) ?? true},
    context,
  )
  return url.trim().replace(/\/+$/, '')
}

async function askToken(
  server: string,
  {given, checkToken}: QuestionOptions,
  context: Context,
): Promise<string | undefined> {
  if (given.token !== undefined) return given.token
  const token = await password(
    {
      message: 'Token (not shown; Enter for none):',
      mask: '*',
      validate: async (text) => (await checkToken(server, text.trim())) ?? true,
    },
    context,
  )
  return token.trim() || undefined
}

async function askCodebases(
  {given, nearby, checkCodebase}: QuestionOptions,
  context: Context,
): Promise<readonly string[]> {
  if (given.codebases !== undefined && given.codebases.length > 0) return given.codebases
  const chosen =
    nearby.length === 0
      ? []
      : await checkbox(
          {
            message: 'Which codebases may agents work in? (Space chooses, Enter goes on)',
            choices: nearby.map((path, i) => ({name: `${basename(path)}  ${path}`, value: path, checked: i === 0})),
          },
          context,
        )
  if (chosen.length > 0) return chosen
  const path = await input(
    {
      message: 'Path of a codebase:',
      validate: (text) => (text.trim() === '' ? 'Give a directory.' : (checkCodebase(text.trim()) ?? true)),
    },
    context,
  )
  return [path.trim()]
}

const askPermissions = (context: Context): Promise<Permissions> =>
  select(
    {
      message: 'What may agents do?',
      choices: [
        {
          name: 'Work in the codebase without asking; what goes beyond it is refused',
          value: 'usual' as const,
        },
        {name: 'Ask first: you answer in the dashboard, on the page, or with `tasks answer`', value: 'ask' as const},
        {name: 'Everything', value: 'allow' as const},
      ],
    },
    context,
  )

async function askService(
  server: string | undefined,
  {given, canServe}: QuestionOptions,
  context: Context,
): Promise<boolean> {
  if (given.isService !== undefined) return given.isService
  if (server === undefined || !canServe) return false
  return await confirm({message: 'Keep the worker running as a service of this user?', default: false}, context)
}

/** Whether to try it with a small task now. */
export const askTest = (context: Context): Promise<boolean> =>
  confirm({message: 'Try it now with a small task? It asks the model once.', default: true}, context)
