import * as v from 'valibot'
import type {Model} from '../../protocol/model-schemas.ts'
import {modelSchema} from '../../protocol/model-schemas.ts'
import type {Plane} from '../plane/plane.ts'
import type {StoredWorker} from '../state/records.ts'

/** The models of these workers, as they have announced them. */
export function announcedModels({state, views}: Plane, workers: readonly Readonly<StoredWorker>[]) {
  const announced = views.models()
  const announcing = workers.map((worker) => ({...worker, models: announced.get(worker.worker_id) ?? []}))
  return listModels(announcing, (id) => state.get('presence', id)?.modelsNote ?? undefined)
}

type Announcing = Pick<StoredWorker, 'worker_id' | 'name'> & {models: readonly unknown[]}

/**
 * The models of all workers, each once. `provider` names the worker too. `default` is a model that some worker's agent
 * uses for tasks without a model. `reason` says why there are none; `noteOf` is what a worker says about that.
 */
function listModels(
  workers: readonly Announcing[],
  noteOf: (workerId: string) => string | undefined,
): {models: Model[]; default: string | null; reason: string | null} {
  const models = new Map<string, Model>()
  for (const {worker_id, name, models: announced} of workers)
    for (const item of announced) {
      const {success, output: model} = v.safeParse(modelSchema, item)
      if (!success) continue
      const known = models.get(model.id)
      if (known?.workers.includes(worker_id)) continue
      if (known) Object.assign(known, {workers: [...known.workers, worker_id], default: known.default || model.default})
      else models.set(model.id, {...model, provider: `${providerOf(model)} (via ${name})`, workers: [worker_id]})
    }

  const all = [...models.values()]
  const reason = all.length > 0 ? null : reasonForNone(workers, noteOf)
  return {models: all, default: all.find((model) => model.default)?.id ?? null, reason}
}

function reasonForNone(workers: readonly Announcing[], noteOf: (workerId: string) => string | undefined): string {
  if (workers.length === 0) return 'no worker is registered'
  return workers
    .slice(0, 5)
    .map(({worker_id, name}) => `worker ${name}: ${noteOf(worker_id) ?? 'it has announced none yet'}`)
    .join('; ')
}

const providerOf = ({provider, provider_id, id}: Model) => provider || provider_id || (id.split('/')[0] ?? id)
