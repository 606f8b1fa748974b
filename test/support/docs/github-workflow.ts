import {build} from 'esbuild'
import {createRequire} from 'node:module'
import {join} from 'node:path'
import {root} from '../cli.ts'

type Messages = {message: string}[]
type Parser = {
  NoOperationTraceWriter: new () => object
  parseWorkflow(file: {name: string; content: string}, trace: object): {context: {errors: {getErrors(): Messages}}}
}

/** Loads GitHub's own parser of workflows. It imports JSON in a way that only bundlers understand. */
export async function openWorkflowParser(folder: string): Promise<(content: string) => string[]> {
  const outfile = join(folder, 'workflow-parser.cjs')
  const stdin = {contents: "export * from '@actions/workflow-parser'", resolveDir: root}
  await build({stdin, bundle: true, platform: 'node', format: 'cjs', outfile, logLevel: 'error'})
  const {NoOperationTraceWriter, parseWorkflow} = createRequire(import.meta.url)(outfile) as Parser
  return (content) =>
    parseWorkflow({name: 'workflow.yml', content}, new NoOperationTraceWriter())
      .context.errors.getErrors()
      .map(({message}) => message)
}
