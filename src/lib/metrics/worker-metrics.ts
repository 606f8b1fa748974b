import {modelText, runBuckets, waitBuckets, type Definitions} from './definition.ts'
import {outcomeReasons} from './outcome-reason.ts'
import {processMetrics} from './process-metrics.ts'

const ends = {status: 'completed, failed or cancelled', reason: outcomeReasons.join(', ')}

/** All metrics of a worker. Counters begin when its process starts. */
export const workerMetrics = {
  ...processMetrics('a2a_worker'),
  a2a_worker_ready: {type: 'gauge', help: '1 if it is connected and takes tasks: what /readyz answers.'},
  a2a_worker_connection: {
    type: 'gauge',
    help: 'How tasks reach the worker: 1 for the present way, 0 for the others.',
    labels: {connection: 'stream, broker, poll, down'},
  },
  a2a_worker_connection_changes_total: {
    type: 'counter',
    help: 'Changes of the connection, by the way that it changed to.',
    labels: {connection: 'stream, broker, poll, down'},
  },
  a2a_worker_reconnects_total: {
    type: 'counter',
    help: 'Lost task streams, by reason.',
    labels: {reason: 'ended, silent, forgotten, refused, network, settings, other'},
  },
  a2a_worker_heartbeat_age_seconds: {
    type: 'gauge',
    help: 'How long ago the control plane acknowledged a heartbeat. -1 before the first.',
  },
  a2a_worker_paused: {
    type: 'gauge',
    help: '1 for each cause that keeps the worker from taking tasks.',
    labels: {cause: 'operator, disk, identity, agent, provider: only tasks of that provider'},
  },
  a2a_worker_slots: {type: 'gauge', help: 'Slots: how many tasks may run at once (max_concurrent_tasks).'},
  a2a_worker_slots_used: {type: 'gauge', help: 'Slots in use.'},
  a2a_worker_disk_free_bytes: {type: 'gauge', help: 'Free space on the disk of the state directory.'},
  a2a_worker_disk_low: {type: 'gauge', help: '1 while there is less free space than min_free_disk.'},
  a2a_worker_tasks_active: {
    type: 'gauge',
    help: 'Tasks that the worker has taken and not yet reported.',
    labels: {phase: 'claiming, starting, running, reporting'},
  },
  a2a_worker_tasks_received_total: {
    type: 'counter',
    help: 'Tasks that reached the worker.',
    labels: {source: 'stream, poll, recovery: of an earlier process'},
  },
  a2a_worker_tasks_dropped_total: {
    type: 'counter',
    help: 'Received tasks that were not taken, or went back to the queue.',
  },
  a2a_worker_tasks_finished_total: {type: 'counter', help: 'Runs that ended, by outcome.', labels: ends},
  a2a_worker_reports_refused_total: {
    type: 'counter',
    help: 'Reports that the control plane refused for good.',
  },
  a2a_worker_outbox_reports: {
    type: 'gauge',
    help: 'Reports of ended runs that the control plane has not acknowledged.',
  },
  a2a_worker_outbox_oldest_seconds: {
    type: 'gauge',
    help: 'How long the oldest of these reports has waited, in this process. 0 if there is none.',
  },
  a2a_worker_output_bytes_total: {
    type: 'counter',
    help: 'Output of agents that the control plane has acknowledged, in bytes of the spool.',
  },
  a2a_worker_task_start_seconds: {
    type: 'histogram',
    help: 'From the receipt of a task until its agent runs.',
    buckets: waitBuckets,
  },
  a2a_worker_run_seconds: {
    type: 'histogram',
    help: 'How long agents ran.',
    labels: {status: ends.status},
    buckets: runBuckets,
  },
  a2a_worker_questions_open: {type: 'gauge', help: 'Questions of agents that nobody has answered.'},
  a2a_worker_tokens_total: {
    type: 'counter',
    help: 'Tokens that ended runs have used.',
    labels: {model: modelText, kind: 'input, output, reasoning, cache_read, cache_write'},
  },
  a2a_worker_cost_dollars_total: {
    type: 'counter',
    help: 'US dollars that ended runs have cost.',
    labels: {model: modelText},
  },
} as const satisfies Definitions

export type WorkerMetric = keyof typeof workerMetrics
