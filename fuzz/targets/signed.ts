import {isDeepStrictEqual} from 'node:util'
import {taskSchema} from '../../src/lib/protocol/schemas.ts'
import {formatPublicKey, generatePrivateKey, parsePublicKey, publicKeyOf} from '../../src/lib/signing/keys.ts'
import {signTask} from '../../src/lib/signing/sign-task.ts'
import {signatureKey, type SignedCodebase, type SignedTask} from '../../src/lib/signing/task-claims.ts'
import {verifyTask} from '../../src/lib/signing/verify-task.ts'
import * as v from 'valibot'
import {mutateBytes} from '../mutate-bytes.ts'
import {mutateJson} from '../mutate-json.ts'
import type {Random} from '../random.ts'
import {check, type Target} from '../target.ts'

type Sample = {task: SignedTask; codebase: SignedCodebase; x: string}
type Case = {task: SignedTask; codebase: SignedCodebase; keys: string[]; now: number}

const now = Date.UTC(2026, 0, 31)
const validMs = 60_000
const leewayMs = 61_000

/** Tasks whose signature, claims, keys, fields and time were changed: what was not signed is never accepted. */
export const signed: Target = {
  name: 'signed',
  share: 60,
  async open() {
    const [jo, kim, stranger] = [generatePrivateKey(), generatePrivateKey(), generatePrivateKey()]
    const codebase = {name: 'api', path: '/srv/api'}
    const other = {name: 'web', path: '/srv/web'}
    const wanted: [SignedTask, SignedCodebase, typeof jo][] = [
      [plain({}), codebase, jo],
      [plain({title: 'Another', model: 'p/m', metadata: {model: 'p/m'}}), codebase, kim],
      [plain({prompt: '€ \u0000 😀', metadata: {a: [1, {b: null}], resume_session_id: 'ses_1'}}), other, jo],
      [plain({agent_type: 'plan'}), codebase, stranger],
    ]
    const samples = await Promise.all(
      wanted.map(async ([task, at, key]): Promise<Sample> => {
        const metadata = await signTask(task, at, key, {now, validMs})
        return {task: {...task, metadata}, codebase: at, x: publicKeyOf(key).x}
      }),
    )
    const trusted = [jo, kim].map((key) => formatPublicKey(publicKeyOf(key)))
    return {
      async run(random) {
        const sample = random.pick(samples.slice(0, 3))
        const given: Case = {task: sample.task, codebase: sample.codebase, keys: trusted, now}
        if (random.chance(0.05)) {
          check('signer' in (await verify(given)), 'what was signed is accepted')
          return 'accepted'
        }

        for (let i = random.below(2); i >= 0; i--) change(given, samples, random)
        const found = await verify(given)
        if ('rule' in found) return 'refused'
        check(
          given.keys.some((text) => parsePublicKey(text)?.x === found.signer.x),
          'the key is trusted',
        )
        check(Math.abs(given.now - now) <= validMs + leewayMs, 'the signature is valid now')
        check(
          samples.some((one) => one.x === found.signer.x && isSame(given, one)),
          `this very task was signed: ${JSON.stringify(given)}`,
        )
        return 'accepted'
      },
    }
  },
}

const plain = (more: Partial<SignedTask>): SignedTask => ({
  ...{title: 'T', prompt: 'do it', agent_type: 'build', model: null, metadata: {}},
  ...more,
})

const verify = ({task, codebase, keys, now: at}: Case) =>
  verifyTask(
    task,
    codebase,
    keys.flatMap((text) => parsePublicKey(text) ?? []),
    at,
  )

function change(given: Case, samples: readonly Sample[], random: Random): void {
  const found = given.task.metadata[signatureKey]
  const jws = typeof found === 'string' ? found : ''
  const other = String(random.pick(samples).task.metadata[signatureKey])
  switch (random.below(6)) {
    case 0:
      return setSignature(given, mutateBytes(Buffer.from(jws), random, Buffer.from(other)).toString())
    case 1: // parts of two signatures
      return setSignature(given, [0, 1, 2].map((i) => random.pick([jws, other]).split('.')[i]).join('.'))
    case 2: // other claims or another header below the same signature
      return setSignature(given, withChangedPart(jws, random))
    case 3:
      return void (given.task = mutateTask(given.task, random))
    case 4:
      given.keys = given.keys.map((key) =>
        random.chance(0.5) ? mutateBytes(Buffer.from(key), random).toString() : key,
      )
      return
    default:
      if (random.chance(0.5)) given.now += random.pick([-1, 1]) * random.below(4 * (validMs + leewayMs))
      else
        given.codebase = {
          ...given.codebase,
          [random.pick(['name', 'path'])]: random.pick(['', 'api', '/srv/web', '/srv/api/.']),
        }
  }
}

const setSignature = (given: Case, jws: unknown): void => {
  given.task = {...given.task, metadata: {...given.task.metadata, [signatureKey]: jws}}
}

function withChangedPart(jws: string, random: Random): string {
  const parts = jws.split('.')
  const at = random.below(2)
  const part = Buffer.from(parts[at] ?? '', 'base64url').toString()
  let changed = part
  try {
    changed = mutateJson(JSON.parse(part), random)
  } catch {
    // an earlier change has broken it
  }

  parts[at] = Buffer.from(changed).toString('base64url')
  return parts.join('.')
}

/** A task as the wire would bring it; the same one if the changed one is no task. */
function mutateTask(task: SignedTask, random: Random): SignedTask {
  let value: unknown
  try {
    value = JSON.parse(mutateJson({id: 't', ...task}, random))
  } catch {
    return task
  }

  const parsed = v.safeParse(taskSchema, value)
  return parsed.success ? parsed.output : task
}

function isSame({task, codebase}: Case, sample: Sample): boolean {
  const about = ({title, prompt, agent_type: agent, model, metadata}: SignedTask, {name, path}: SignedCodebase) => {
    const {[signatureKey]: _, ...rest} = metadata
    const named = typeof rest['model'] === 'string' && rest['model'] !== '' ? rest['model'] : model
    return JSON.parse(JSON.stringify({title, prompt, agent, named, rest, name, path: path.replace(/\/\.$/, '')}))
  }
  return isDeepStrictEqual(about(task, codebase), about(sample.task, sample.codebase))
}
