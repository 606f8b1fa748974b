import {randomUUID} from 'node:crypto'
import * as v from 'valibot'
import {agentPrefix, defaultProgram} from '../../../protocol/agent-program.ts'
import {globalCodebase} from '../../../protocol/routes.ts'
import type {Plane} from '../../plane/plane.ts'
import {listCodebases} from '../../registry/codebase-list.ts'
import {announcedModels} from '../../registry/model-list.ts'
import {connectionsFor} from '../../rules/dispatch/roster.ts'
import {all} from '../../state/records.ts'
import {needsSignature} from './signed-only.ts'
import type {Viewer} from './viewer.ts'

const maybe = v.optional(v.pipe(v.string(), v.trim()), '')

/** The form of a new task. Empty fields are left out of the request. */
export const newTaskSchema = v.object({
  codebase: v.pipe(v.string(), v.minLength(1, 'Choose a codebase')),
  prompt: v.string(),
  ...{title: maybe, agent_type: maybe, program: maybe, model: maybe, key: maybe},
})
export type NewTaskFields = v.InferOutput<typeof newTaskSchema>

/** What the form of a new task offers, and what was typed into it. */
export type NewTaskForm = {
  codebases: {id: string; name: string; path: string; isServed: boolean; needsSignature: boolean}[]
  programs: string[]
  models: string[]
  fields: NewTaskFields
}

const maxCodebases = 500
const maxModels = 300

export function newTaskForm(plane: Plane, {only}: Viewer, fields: Partial<NewTaskFields>): NewTaskForm {
  const {state} = plane
  const workers = [...state.find('workers', all)].filter(({worker_id}) => only === undefined || worker_id === only)
  const codebases = listCodebases(state, {includeDuplicates: false, only})
    .map(({id, name, path, served}) => ({
      id,
      name,
      path,
      isServed: served === true,
      needsSignature: needsSignature(state, id),
    }))
    .toSorted((a, b) => Number(b.isServed) - Number(a.isServed) || a.name.localeCompare(b.name, 'en'))
    .slice(0, maxCodebases)
  const anyWorker = {
    id: globalCodebase,
    name: 'no codebase',
    path: 'any worker',
    isServed: true,
    needsSignature: needsSignature(state, globalCodebase),
  }
  const programs = workers
    .flatMap(({capabilities}) => capabilities)
    .filter((name) => name.startsWith(agentPrefix))
    .map((name) => name.slice(agentPrefix.length))
  return {
    codebases: connectionsFor(state, globalCodebase).length > 0 ? [...codebases, anyWorker] : codebases,
    programs: [...new Set([defaultProgram, ...programs])],
    models: announcedModels(plane, workers)
      .models.slice(0, maxModels)
      .map(({id}) => id),
    fields: {...empty, key: randomUUID(), ...fields},
  }
}

const empty = {codebase: '', prompt: '', title: '', agent_type: '', program: '', model: ''}
