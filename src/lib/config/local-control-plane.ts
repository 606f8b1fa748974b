import {join} from 'node:path'
import * as v from 'valibot'
import {readStateJson, writePrivateFile} from './state-directory.ts'

/** A damaged file counts as missing. The next embedded control plane writes a new one. */
const schema = v.object({
  url: v.pipe(v.string(), v.url(), v.regex(/^https?:/)),
  port: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535)),
  token: v.pipe(v.string(), v.regex(/^[!-~]+$/)),
})

/** Address and token of the control plane that runs beside a worker on this machine. */
export type LocalControlPlane = v.InferOutput<typeof schema>

/** The file with the address and the token. Only its user may read it. */
export const localPlaneFile = (stateDir: string) => join(stateDir, 'local.json')

/** Address and token that the last embedded control plane wrote. It may have ended since. */
export function readLocalControlPlane(stateDir: string): LocalControlPlane | undefined {
  const parsed = v.safeParse(schema, readStateJson(localPlaneFile(stateDir)))
  return parsed.success ? parsed.output : undefined
}

/** Writes address and token for other processes on this machine. Throws ExpectedError (73). */
export const writeLocalControlPlane = (stateDir: string, plane: LocalControlPlane) =>
  writePrivateFile(localPlaneFile(stateDir), `${JSON.stringify(plane)}\n`)
