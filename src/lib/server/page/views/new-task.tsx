/** @jsxImportSource hono/jsx */
import {plainLine} from '../../../core/text/plain-line.ts'
import {pathOf} from '../../http/page-rights.ts'
import type {NewTaskForm} from '../data/new-task.ts'
import {signedTask} from '../data/signed-only.ts'
import type {Viewer} from '../data/viewer.ts'
import {page, type Page} from './layout.tsx'
import {Card, Empty, SignedOnly} from './parts.tsx'

/** The form of a new task. `problem`: why it was refused before. */
export function newTaskPage(viewer: Viewer, form: NewTaskForm, problem?: string): Page {
  const {codebases, programs, models, fields} = form
  const chosen = codebases.find(({id}) => id === fields.codebase) ?? codebases[0]
  return page({
    ...{title: 'New task', viewer, nav: 'new'},
    children: (
      <>
        <div class="headline">
          <h1>New task</h1>
        </div>
        {problem === undefined ? null : (
          <p class="failure" role="alert">
            {plainLine(problem, 400)}
          </p>
        )}
        {problem === undefined && chosen?.needsSignature ? <SignedOnly command={signedTask(chosen.id)} /> : null}
        {codebases.length === 0 ? (
          <Card title="There is nowhere to run it yet">
            <Empty>
              Start a worker where the code is, or <a href={pathOf('codebases')}>register a codebase</a>.
            </Empty>
          </Card>
        ) : (
          <form method="post" action={pathOf('newTask')} class="card form">
            <input type="hidden" name="key" value={fields.key} />
            <label>
              <span>Codebase</span>
              <select name="codebase" required>
                {codebases.map(({id, name, path, isServed, needsSignature}) => (
                  <option value={id} selected={fields.codebase === id}>
                    {plainLine(
                      `${name} (${path})${needsSignature ? ': signed tasks only' : ''}${isServed ? '' : ': no worker serves it now'}`,
                      120,
                    )}
                  </option>
                ))}
              </select>
            </label>
            <label>
              <span>Prompt</span>
              <textarea name="prompt" rows={10} required>
                {fields.prompt}
              </textarea>
            </label>
            <label>
              <span>
                Title <small>(default: the first line of the prompt)</small>
              </span>
              <input name="title" value={fields.title} maxlength={1000} />
            </label>
            <div class="row">
              <label>
                <span>Agent program</span>
                <select name="program">
                  {programs.map((name) => (
                    <option value={name} selected={fields.program === name}>
                      {plainLine(name, 40)}
                    </option>
                  ))}
                </select>
              </label>
              <label>
                <span>
                  Agent <small>(default: build)</small>
                </span>
                <input name="agent_type" value={fields.agent_type} list="agents" maxlength={200} />
                <datalist id="agents">
                  <option value="build" />
                  <option value="plan" />
                </datalist>
              </label>
              <label>
                <span>
                  Model <small>(default: the worker's)</small>
                </span>
                <input name="model" value={fields.model} list="models" maxlength={200} />
                <datalist id="models">
                  {models.map((id) => (
                    <option value={plainLine(id, 120)} />
                  ))}
                </datalist>
              </label>
            </div>
            <div class="actions">
              <button class="primary">Create task</button>
            </div>
          </form>
        )}
      </>
    ),
  })
}
