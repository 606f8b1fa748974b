/** @jsxImportSource hono/jsx */
import {isoTime} from '../../../core/clock.ts'
import {limits} from '../../../protocol/limits.ts'
import {isFinal} from '../../../protocol/schemas.ts'
import type {OpenQuestion, QuestionOption} from '../../../protocol/task-input.ts'
import {plainLine} from '../../../core/text/plain-line.ts'
import {pathOf} from '../../http/page-rights.ts'
import {signedAnswer, signedWords} from '../data/signed-only.ts'
import type {TaskDetails} from '../data/task-details.ts'
import type {Viewer} from '../data/viewer.ts'
import {Card, Line, SignedOnly} from './parts.tsx'

type Asked = {question: OpenQuestion; task: TaskDetails; viewer: Viewer}

/** A question of an agent, with a button for each of its options. */
export function Question({question, task, viewer}: Asked) {
  const isPermission = question.kind === 'permission'
  const all = isPermission ? withDeny(question.options) : question.options
  const options = task.needsSignature ? all.filter(isRefusal) : all
  return (
    <Card title={isPermission ? 'The agent asks for a permission' : 'The agent asks'} class="attention">
      <p class="question">
        <Line text={question.title} max={limits.note} />
      </p>
      {question.until === null ? null : (
        <p class="note">
          Without an answer it is refused at <time datetime={isoTime(question.until)}>{clockOf(question.until)}</time>.
        </p>
      )}
      {viewer.mayManage ? (
        <>
          <form method="post" action={pathOf('inputs', {task: task.id})} class="options">
            <input type="hidden" name="question" value={question.id} />
            {options.map(({id, name, kind}) => (
              <button name="option" value={id} class={isRefusal({kind}) ? 'danger' : 'primary'}>
                {plainLine(name, 60)}
              </button>
            ))}
          </form>
          {task.needsSignature ? (
            <SignedOnly command={signedAnswer(task.id, isPermission ? 'allow' : undefined)} />
          ) : (
            <details class="other" id={`other-${question.id}`}>
              <summary>Answer in words</summary>
              <form method="post" action={pathOf('inputs', {task: task.id})} class="say">
                <input type="hidden" name="question" value={question.id} />
                <label>
                  <span>Your answer</span>
                  <textarea name="text" rows={2} required />
                </label>
                <button>Send answer</button>
              </form>
            </details>
          )}
        </>
      ) : null}
    </Card>
  )
}

const isRefusal = ({kind}: Pick<QuestionOption, 'kind'>) => kind.startsWith('reject')

/** A permission can be denied, even if its agent lists no option for that. */
const withDeny = (options: readonly QuestionOption[]): QuestionOption[] =>
  options.some(isRefusal) ? [...options] : [...options, {id: 'deny', name: 'Deny', kind: 'reject_once'}]

const clockOf = (ms: number) => `${isoTime(ms).slice(0, 16).replace('T', ' ')} UTC`

/** Says something to a running task, or goes on with the session of one that has ended. */
export function SayForm({task, viewer}: {task: TaskDetails; viewer: Viewer}) {
  const isOver = isFinal(task.status)
  const canSay = isOver ? task.session !== null : task.status === 'running' && task.takesInput && !task.isCancelling
  if (!viewer.mayManage || !canSay) return null
  if (task.needsSignature)
    return (
      <Card title={isOver ? 'Go on with this session' : 'Say something to the agent'}>
        <SignedOnly command={signedWords(task.id)} />
      </Card>
    )
  return (
    <Card title={isOver ? 'Go on with this session' : 'Say something to the agent'}>
      <form method="post" action={pathOf('inputs', {task: task.id})} class="say">
        <label>
          <span>{isOver ? 'Your message becomes the next task of the session' : 'Message'}</span>
          <textarea name="text" rows={3} required />
        </label>
        {isOver ? null : (
          <fieldset class="choice">
            <legend>When the agent gets it</legend>
            <label>
              <input type="radio" name="mode" value="queue" checked /> after this turn
            </label>
            <label>
              <input type="radio" name="mode" value="steer" /> now: end this turn
            </label>
          </fieldset>
        )}
        <button class="primary">{isOver ? 'Create task' : 'Send'}</button>
      </form>
    </Card>
  )
}
