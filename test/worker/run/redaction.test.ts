import {expect, test} from 'vitest'
import {error, finish, printing, stepStart, text, tool} from '../../support/agent-lines.ts'
import {startOneWorker} from '../../support/one-worker.ts'

const secret = 'correct-horse-battery-staple'
const env = {DEPLOY_KEY: secret, A2A_ENV_ALLOW: 'DEPLOY_KEY'}
const forms = [
  secret,
  Buffer.from(`user:${secret}`).toString('base64').slice(8, 36),
  Buffer.from(secret).toString('hex'),
  secret.toUpperCase(), // no form of it: shows that the checks can fail
]

test('a secret that the agent says is redacted in output, result, error, log and status alike', async () => {
  await using at = await startOneWorker({env})
  const says = `I used ${secret}, ${Buffer.from(`user:${secret}`).toString('base64')} and ${forms[2]}.`
  const done = await at.ended(
    await at.begin(
      printing(stepStart(), tool('bash', {status: 'completed', title: `curl -H ${secret}`}), text(says), finish()),
    ),
  )
  expect(done.result).toMatch(/^I used \[redacted\], \w+\[redacted\]\w*=* and \[redacted\]\.$/)
  const failed = await at.ended(
    await at.begin(`${printing(stepStart(), error('APIError', `bad key ${secret}`))}exit 1`),
  )
  expect(failed.error).toContain('bad key [redacted]')
  const status = await at.cli(['status', '--json'])
  const shown = [at.worker.stderr(), status.stdout, await at.output(done.id), await at.output(failed.id)]
  for (const place of [...shown, `${done.result} ${failed.error}`])
    for (const form of forms.slice(0, 3)) expect(place).not.toContain(form)
  expect(shown[2]).toContain('[redacted]')
})

test('a secret in a line that is longer than a batch is redacted wherever the line is cut', async () => {
  await using at = await startOneWorker({env})
  const batch = 64 * 1024
  // the secret begins a little earlier each time, so that some of them lie across the end of a batch
  const line = `printf '{"type":"text","sessionID":"ses_1","part":{"type":"text","text":"'
for n in $(seq 0 3 27); do head -c $((${batch} - 45 - n)) /dev/zero | tr '\\\\0' x; printf '%s' "$DEPLOY_KEY"; done
printf '"}}\\\\n'
`
  const {id, status} = await at.ended(
    await at.begin(`${printing(stepStart())}${line}${printing(text('ok', 'msg_2'), finish())}`),
  )
  expect(status).toBe('completed')
  const output = await at.output(id)
  expect(output.match(/\[redacted\]/g)).toHaveLength(10)
  expect(output).not.toMatch(/correct|staple/)
})
