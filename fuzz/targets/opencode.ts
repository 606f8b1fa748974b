import * as v from 'valibot'
import {createRedactor} from '../../src/lib/core/redaction/redact.ts'
import {readFact} from '../../src/lib/opencode/output/events.ts'
import {lineSplitter} from '../../src/lib/opencode/output/line-splitter.ts'
import {RunRecord} from '../../src/lib/opencode/output/record.ts'
import {judge} from '../../src/lib/opencode/output/verdict.ts'
import {limits} from '../../src/lib/protocol/limits.ts'
import {statusUpdateSchema} from '../../src/lib/protocol/schemas.ts'
import {OutputView} from '../../src/lib/ui/text/output-view.ts'
import {finalReportOf} from '../../src/lib/worker/run/reports.ts'
import {chunks, mutateBytes} from '../mutate-bytes.ts'
import {mutateJson} from '../mutate-json.ts'
import type {Random} from '../random.ts'
import {agentLines} from '../samples.ts'
import {check, type Target} from '../target.ts'

const secrets = ['sk-0123456789', 'with "quotes"\nand lines', 'a(b[c*']
const redactors = [createRedactor(secrets), createRedactor(secrets, [/ghp_[a-z]+/u, /(?<=token=)\S+/u])]
// oxlint-disable-next-line no-control-regex -- control characters are the point
const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/

/** The output of an agent, on its way to verdict, report, terminal and redactor. */
export const opencode: Target = {
  name: 'opencode',
  share: 200,
  open: () => ({
    run(random) {
      const bytes = randomSpool(random)
      const stderr = mutateBytes(
        Buffer.from('Error: \u001b[31mno\u001b[0m\npermission requested: x; auto-rejecting\n'),
        random,
      )
      const record = readRecord(bytes, random)
      const {status, error} = judge({
        record,
        exit: undefined,
        stderr: stderr.toString(),
        stop: undefined,
        model: 'a/b',
        isDiskFull: random.chance(0.1),
        name: 'OpenCode',
      })
      check((status === 'completed') === (error === null), 'a failed run has a reason')
      checkReport(record, {status, error})
      checkView(bytes, random)
      checkRedaction(bytes, random)
      return status === 'completed' ? 'accepted' : 'refused'
    },
  }),
}

function randomSpool(random: Random): Buffer {
  const list = Array.from({length: 1 + random.below(8)}, () => {
    const line = random.pick(agentLines)
    return random.chance(0.5) && line.startsWith('{') ? mutateJson(JSON.parse(line), random) : line
  })
  const bytes = Buffer.from(`${list.join('\n')}\n`)
  return random.chance(0.5) ? mutateBytes(bytes, random, Buffer.from(random.pick(agentLines))) : bytes
}

function readRecord(bytes: Buffer, random: Random): RunRecord {
  const record = new RunRecord()
  const splitter = lineSplitter((line) => record.add(readFact(line)), random.chance(0.2) ? 100 : undefined)
  for (const piece of chunks(bytes, random)) splitter.push(piece)
  splitter.end()
  return record
}

/** The server must accept every report. Otherwise it would never know how the task ended. */
function checkReport(
  record: RunRecord,
  {status, error}: {status: 'completed' | 'failed' | 'cancelled'; error: string | null},
): void {
  const usage = {...record.usage, model: null, duration_ms: null}
  const report = finalReportOf(
    {attempt: 1},
    {status, error, result: record.result, sessionId: record.sessionId, usage},
    'w',
  )
  const parsed = v.safeParse(statusUpdateSchema, JSON.parse(JSON.stringify(report)))
  check(parsed.success, 'the server accepts the report')
  check(Buffer.byteLength(record.result ?? '') <= limits.result, 'the result is bounded')
}

function checkView(bytes: Buffer, random: Random): void {
  const view = new OutputView((text) => check(!controls.test(text), 'no control character reaches the terminal'))
  for (const piece of chunks(bytes, random))
    view.add({
      output: piece.toString(),
      attempt: 1 + random.below(1.01),
      timestamp: null,
      worker_id: null,
      offset: null,
    })
  view.end()
}

function checkRedaction(bytes: Buffer, random: Random): void {
  const secret = random.pick(secrets)
  const at = random.below(bytes.length + 1)
  const text = bytes.toString('utf8', 0, at) + secret + JSON.stringify({secret}) + bytes.toString('utf8', at)
  const redacted = random.pick(redactors)(text)
  check(!redacted.includes(secret), 'no secret is left')
}
