import {errorCode} from '../../core/errors.ts'
import type {Catalog} from '../../opencode/program/catalog.ts'
import type {RunRequest} from '../executor.ts'

/** Whether OpenCode has the agent of a request. Throws ExpectedError. Checks with a cached answer cost no time. */
export async function checkAgent(catalog: Catalog, request: RunRequest): Promise<void> {
  const check = catalog.checkAgent(request.agent, request.cwd)
  if (check) await checked(check, () => catalog.checkAgent(request.agent, request.cwd), 'agent', request)
}

/** The model, if OpenCode has it. Otherwise throws ExpectedError, or returns undefined if the default may be used instead. */
export async function checkedModel(
  model: string | undefined,
  {catalog, unknownModel}: {catalog: Catalog; readonly unknownModel?: 'fail' | 'default' | undefined},
  request: RunRequest,
): Promise<string | undefined> {
  const check = model === undefined ? undefined : catalog.checkModel(model, request.cwd)
  if (model === undefined || !check) return model
  try {
    await checked(check, () => catalog.checkModel(model, request.cwd), 'model', request)
    return model
  } catch (error) {
    if (unknownModel !== 'default' || errorCode(error) !== 'UNKNOWN_MODEL') throw error
    request.onNotice?.(`OpenCode has no model ${model}: the task runs with its default (unknown_model)`)
    return undefined
  }
}

/** Repeats a check that could not be made. If that fails too, OpenCode itself has to find out. */
async function checked(
  check: Promise<boolean>,
  repeat: () => Promise<boolean> | undefined,
  what: 'agent' | 'model',
  {agent, model, onNotice}: RunRequest,
): Promise<void> {
  if (await check) return
  const name = what === 'agent' ? agent : model
  onNotice?.(
    `OpenCode did not list its ${what}s in time, so the ${what} ${name} could not be checked; asking once more`,
  )
  if ((await repeat()) === false)
    onNotice?.(`OpenCode did not list its ${what}s again: the task begins, though the ${what} ${name} may not exist`)
}
