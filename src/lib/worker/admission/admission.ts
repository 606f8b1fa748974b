import type {Task} from '../../protocol/schemas.ts'
import {signatureKey} from '../../signing/task-claims.ts'
import type {Codebases} from '../registration/codebases.ts'
import {isRegistrationTask} from '../registration/registration-tasks.ts'
import {askForApproval, type ApprovalOptions} from './approval.ts'
import {modelOf, policyProblem} from './policy.ts'
import {checkSignature, type SignatureOptions} from './signature.ts'

export type AdmissionOptions = SignatureOptions & {
  codebases: Pick<Codebases, 'at'>
  /** The worker's own environment. */
  env: ApprovalOptions['env']
  markerOf: (task: Task) => string
  worker: {id: string; name: string}
}

/** Decides whether a task may be run here. Nothing is started or written for a task before. */
export type Admission = {
  /**
   * Whether deciding needs more than the settings. Then only tasks that are claimed are decided on: a nonce is bound, and
   * a person may be asked.
   */
  readonly needsClaim: boolean
  /** Resolves with why the task is refused, or undefined. `path`: that of its codebase, where it would be run. */
  decide(task: Task, path: string): Promise<string | undefined>
}

/**
 * The order is policy, signature, approval: what costs least comes first, and nobody is asked about a task that is refused
 * anyway. A task that registers a path starts nothing, and `registration_roots` decides about it.
 */
export function createAdmission(options: AdmissionOptions): Admission {
  const {config, codebases} = options
  return {
    get needsClaim() {
      return config.verify_tasks !== 'off' || config.approve_task !== undefined
    },
    async decide(task, path) {
      if (isRegistrationTask(task)) return undefined
      const problem = policyProblem(task, path, config)
      if (problem !== undefined) return problem
      const codebase = codebases.at(path) ?? {name: '', path}
      const {signedBy, problem: badSignature} = await checkSignature(task, codebase, options)
      if (badSignature !== undefined) return `Refused by ${badSignature}`
      const refusal = await approvalProblem(task, {codebase, signedBy}, options)
      return refusal === undefined ? undefined : `Refused by approve_task: ${refusal}`
    },
  }
}

type About = {codebase: {name: string; path: string}; signedBy: string | null}

async function approvalProblem(
  task: Task,
  {codebase: {name, path}, signedBy}: About,
  {config, env, clock, markerOf, worker}: AdmissionOptions,
): Promise<string | undefined> {
  const {approve_task: command} = config
  if (command === undefined) return undefined
  const {[signatureKey]: _, ...metadata} = task.metadata
  const {id, attempt, title, prompt, priority, created_by, created_at} = task
  return await askForApproval({
    command,
    marker: markerOf(task),
    env,
    clock,
    task: {
      ...{id, attempt, title, prompt, agent: task.agent_type, model: modelOf(task) ?? null, metadata, priority},
      ...{codebase: {name, path}, created_by, created_at, signed_by: signedBy, worker},
    },
  })
}
