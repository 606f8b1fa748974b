import {commitBuckets, modelText, runBuckets, waitBuckets, type Definitions} from './definition.ts'
import {outcomeReasons} from './outcome-reason.ts'
import {processMetrics} from './process-metrics.ts'

const statuses = 'pending, assigned, running, completed, failed, cancelled'
const ends = {status: 'completed, failed or cancelled', reason: outcomeReasons.join(', ')}

/** All metrics of a control plane. Counters begin when it starts. */
export const planeMetrics = {
  ...processMetrics('a2a_plane'),
  a2a_plane_ready: {
    type: 'gauge',
    of: 'replica',
    help: '1 if this control plane takes requests, 0 while its store is out of reach.',
  },
  a2a_plane_disk_full: {type: 'gauge', help: '1 while the disk of the database is full and output is refused.'},
  a2a_plane_disk_free_bytes: {type: 'gauge', help: 'Free space on the disk of the database.'},
  a2a_plane_streams_open: {
    type: 'gauge',
    of: 'replica',
    help: 'Open event streams of this control plane: of workers, and of those who watch.',
  },
  a2a_plane_requests_refused_total: {
    type: 'counter',
    of: 'replica',
    help: 'Refused requests.',
    labels: {kind: 'wrong-token, no-token, no-right, rate, streams, connections, bodies, hang-up'},
  },
  a2a_plane_workers: {
    type: 'gauge',
    of: 'whole',
    help: 'Registered workers.',
    labels: {
      state: 'connected: with a task stream; polling: no stream, but seen in the last 45 s; offline: neither',
    },
  },
  a2a_plane_workers_paused: {type: 'gauge', of: 'whole', help: 'Connected workers that take no tasks now.'},
  a2a_plane_slots_free: {
    type: 'gauge',
    of: 'whole',
    help: 'Free slots of connected workers. Paused ones have none.',
  },
  a2a_plane_slots_used: {type: 'gauge', of: 'whole', help: 'Slots that hold a task or are offered one.'},
  a2a_plane_tasks: {
    type: 'gauge',
    of: 'whole',
    help: 'Stored tasks. Ended ones are removed after some weeks.',
    labels: {status: statuses},
  },
  a2a_plane_tasks_lost: {type: 'gauge', of: 'whole', help: 'Running tasks whose worker is not heard.'},
  a2a_plane_queue_oldest_seconds: {
    type: 'gauge',
    of: 'whole',
    help: 'How long the oldest pending task has waited. 0 if none waits.',
  },
  a2a_plane_questions_open: {type: 'gauge', of: 'whole', help: 'Questions of agents that nobody has answered.'},
  a2a_plane_question_oldest_seconds: {
    type: 'gauge',
    of: 'whole',
    help: 'How long the oldest open question has waited. 0 if there is none.',
  },
  a2a_plane_tasks_created_total: {type: 'counter', of: 'replica', help: 'Tasks that were created.'},
  a2a_plane_tasks_ended_total: {type: 'counter', of: 'replica', help: 'Tasks that ended, by outcome.', labels: ends},
  a2a_plane_tasks_requeued_total: {
    type: 'counter',
    of: 'replica',
    help: 'Tasks that went back to the queue: their worker gave them back or was lost, or somebody has retried them.',
  },
  a2a_plane_tasks_lost_total: {type: 'counter', of: 'replica', help: 'Tasks whose lease expired while they ran.'},
  a2a_plane_questions_total: {type: 'counter', of: 'replica', help: 'Questions that agents have asked.'},
  a2a_plane_queue_wait_seconds: {
    type: 'histogram',
    of: 'replica',
    help: 'From the time that a task waits until it is given to a worker.',
    buckets: waitBuckets,
  },
  a2a_plane_dispatch_seconds: {
    type: 'histogram',
    of: 'replica',
    help: 'From the time that a task is given to a worker until that worker has confirmed or claimed it.',
    buckets: waitBuckets,
  },
  a2a_plane_task_run_seconds: {
    type: 'histogram',
    of: 'replica',
    help: 'From the first start of a task to its end.',
    labels: {status: ends.status},
    buckets: runBuckets,
  },
  a2a_plane_output_bytes_total: {
    type: 'counter',
    of: 'replica',
    help: 'Output of agents that was stored, in bytes of UTF-8.',
  },
  a2a_plane_tokens_total: {
    type: 'counter',
    of: 'replica',
    help: 'Tokens that ended tasks have used.',
    labels: {model: modelText, kind: 'input, output, reasoning, cache_read, cache_write'},
  },
  a2a_plane_cost_dollars_total: {
    type: 'counter',
    of: 'replica',
    help: 'US dollars that ended tasks have cost.',
    labels: {model: modelText},
  },
  a2a_plane_commit_seconds: {
    type: 'histogram',
    of: 'replica',
    help: 'From a decision until it is on disk, or in Redis. One sample at a time, so a commit of many decisions counts once.',
    buckets: commitBuckets,
  },
  a2a_plane_commit_failures_total: {type: 'counter', of: 'replica', help: 'Sampled commits that failed.'},
} as const satisfies Definitions

export type PlaneMetric = keyof typeof planeMetrics
