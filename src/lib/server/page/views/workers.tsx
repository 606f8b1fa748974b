/** @jsxImportSource hono/jsx */
import {counted} from '../../../core/text/counted.ts'
import {pathOf} from '../../http/page-rights.ts'
import type {Overview, WorkerRow} from '../data/overview.ts'
import type {Viewer} from '../data/viewer.ts'
import {Badge, Card, Empty, Line, When} from './parts.tsx'
import {amount} from './text.ts'

/** The workers with their slots and codebases, the connected ones first. */
export function Workers({data, viewer}: {data: Overview; viewer: Viewer}) {
  const {workers, moreWorkers, now} = data
  return (
    <Card title="Workers">
      {workers.length === 0 ? (
        <Empty>
          No worker is registered. Start one where the code is:{' '}
          <code>a2a-worker start --server ADDRESS --codebase PATH</code>
          {viewer.mayManage ? (
            <>
              {' '}
              (the address is on the page <a href={pathOf('codebases')}>Codebases</a>)
            </>
          ) : null}
        </Empty>
      ) : (
        <table aria-label="Workers">
          <thead>
            <tr>
              <th scope="col">Worker</th>
              <th scope="col">State</th>
              <th scope="col">Slots</th>
              <th scope="col">Codebases</th>
              <th scope="col" class="number">
                Completed
              </th>
              <th scope="col" class="number">
                Seen
              </th>
            </tr>
          </thead>
          <tbody>
            {workers.map((worker) => (
              <Worker worker={worker} now={now} />
            ))}
          </tbody>
        </table>
      )}
      {moreWorkers > 0 ? <p class="more">and {counted(moreWorkers, 'more worker', 'more workers')}</p> : null}
    </Card>
  )
}

const maxCodebases = 4

function Worker({worker, now}: {worker: WorkerRow; now: number}) {
  const {codebases, slots, used} = worker
  const more = codebases.length - maxCodebases
  return (
    <tr id={`worker-${worker.id}`}>
      <td class="title">
        <b>
          <Line text={worker.name} max={60} />
        </b>
        <small>
          {worker.hostname === null ? null : <Line text={worker.hostname} max={40} />}{' '}
          {worker.version === null ? null : <Line text={worker.version} max={20} />}
        </small>
        {worker.paused === null ? null : (
          <span class="why asks">
            <Line text={worker.paused} max={160} />
          </span>
        )}
      </td>
      <td>
        <WorkerState worker={worker} />
      </td>
      <td data-label="Slots">
        <meter
          class="slots"
          min={0}
          max={slots}
          value={Math.min(used, slots)}
          aria-label={`${used} of ${slots} slots in use`}
        />{' '}
        {used}/{slots}
      </td>
      <td data-label="Codebases" class="list">
        {codebases.length === 0 ? <span class="none">–</span> : null}
        {codebases.slice(0, maxCodebases).map(({id, name}) => (
          <a class="chip" href={pathOf('codebase', {codebase: id})}>
            <Line text={name} max={30} />
          </a>
        ))}
        {more > 0 ? <small>+{more}</small> : null}
      </td>
      <td class="number" data-label="Completed">
        {amount(worker.completed)}
      </td>
      <td class="number" data-label="Seen">
        <When time={worker.lastSeen} now={now} />
      </td>
    </tr>
  )
}

function WorkerState({worker: {isConnected, status, paused}}: {worker: WorkerRow}) {
  if (isConnected && paused !== null) return <Badge kind="asks" text="takes no tasks" />
  if (isConnected) return <Badge kind="completed" text="connected" />
  if (status === 'active') return <Badge kind="pending" text="polling" />
  return <Badge kind="cancelled" text={status === 'stale' ? 'not seen' : 'offline'} />
}
