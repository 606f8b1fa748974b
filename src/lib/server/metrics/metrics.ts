import type {Clock} from '../../core/clock.ts'
import {planeMetrics, type PlaneMetric} from '../../metrics/plane-metrics.ts'
import {createRegistry, type Registry} from '../../metrics/registry.ts'
import type {StateEvent} from '../state/events.ts'
import type {EventPlace} from '../store/engine.ts'
import {PlaneFold} from './plane-fold.ts'
import {readGauges, type GaugeSources} from './plane-gauges.ts'

type Loaded = {registry: Registry<PlaneMetric>; fold: PlaneFold}

/**
 * The metrics of a control plane. They are counted from `start` on, or from the first scrape: the control plane of a
 * machine is rarely scraped, and should cost no memory for that.
 */
export class PlaneMetrics {
  readonly #clock: Pick<Clock, 'now'>
  #loading: Promise<Loaded> | undefined
  #fold: PlaneFold | undefined

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock
  }

  /** Resolves when events are counted. */
  async start(): Promise<void> {
    await this.#load()
  }

  /** Counts an event, once what it tells of is on disk. */
  readonly add = (event: StateEvent, place?: EventPlace): void => this.#fold?.add(event, place)

  /** Counts a commit that took so many ms. */
  readonly committed = (ms: number, hasFailed: boolean): void => this.#fold?.committed(ms, hasFailed)

  /** All metrics as text, and its media type. */
  async scrape(sources: GaugeSources): Promise<{text: string; contentType: string}> {
    const {registry, fold} = await this.#load()
    fold.write()
    readGauges(registry, sources)
    return {text: await registry.text(), contentType: registry.contentType}
  }

  #load(): Promise<Loaded> {
    this.#loading ??= createRegistry(planeMetrics).then((registry) => {
      this.#fold = new PlaneFold(registry, this.#clock)
      return {registry, fold: this.#fold}
    })
    return this.#loading
  }
}
