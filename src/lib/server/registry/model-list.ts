import * as v from 'valibot'
import type {Model} from '../../protocol/model-schemas.ts'
import {modelSchema} from '../../protocol/model-schemas.ts'
import type {StoredWorker} from '../store/store.ts'

/**
 * The models of all workers, each once. `provider` names the worker too. `default` is a model that some worker's agent
 * uses for tasks without a model.
 */
export function listModels(workers: readonly StoredWorker[]): {models: Model[]; default: string | null} {
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
  return {models: all, default: all.find((model) => model.default)?.id ?? null}
}

const providerOf = ({provider, provider_id, id}: Model) => provider || provider_id || (id.split('/')[0] ?? id)
