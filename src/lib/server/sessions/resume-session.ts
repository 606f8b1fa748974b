import type {Context} from 'hono'
import type * as v from 'valibot'
import {globalCodebase} from '../../protocol/routes.ts'
import type {resumeSchema} from '../../protocol/session-schemas.ts'
import type {AppEnv} from '../http/app-env.ts'
import type {Plane} from '../plane/plane.ts'
import {codebaseOfOwner, sessionOwnersOf} from '../rules/registry/session-owners.ts'
import type {StoredTask} from '../state/records.ts'
import {requestTask} from '../tasks/task-requests.ts'

const defaultPrompt = 'Continue where you left off.'

type Resumption = v.InferOutput<typeof resumeSchema> & {codebase_id: string; session_id: string}

/** Creates a task that goes on with a session. */
export const resumeSession = (
  c: Context<AppEnv>,
  plane: Plane,
  {codebase_id, session_id, prompt, agent, model}: Resumption,
): Promise<StoredTask> =>
  requestTask(c, plane, {
    codebase_id: codebaseToResume(plane, codebase_id, session_id),
    title: `Resume session: ${prompt || session_id}`.slice(0, 80),
    prompt: prompt || defaultPrompt,
    agent_type: agent,
    model,
    metadata: {resume_session_id: session_id},
  })

/** A session of `global` is resumed in the codebase that owns it. The worker checks the session itself. */
function codebaseToResume({state, views}: Plane, codebaseId: string, sessionId: string): string {
  const session = views.sessions.get(sessionOwnersOf(state, codebaseId), sessionId)
  return codebaseId === globalCodebase && session ? codebaseOfOwner(session.owner) : codebaseId
}
